/* greyspan.h: what libgreyspan.so offers beside the C malloc family, whose declarations are in <stdlib.h> and <malloc.h>.
 *
 * Every function may be called from any thread at any time, but not from a signal handler.
 */
#ifndef GREYSPAN_H
#define GREYSPAN_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The version of the library, such as "0.1.0". */
const char *greyspan_version(void);

/* Writes the statistics as one line of JSON, as snprintf does: at most n bytes, the zero at the end included. Returns the length of the whole
 * text without that zero, so a result of n or more says that the buffer was too small; buf may be null if n is 0.
 * The keys are those of greyspan::Stats, in bytes unless they count; some values pass 2^53. */
size_t greyspan_stats_json(char *buf, size_t n);

/* Gives all free memory of the process back to the system now. Returns the bytes. Other threads give what they keep when they next need memory. */
size_t greyspan_purge(void);

/* The calling thread will be idle: what it keeps is there for other threads, and for the system. It may go on allocating at any time. */
void greyspan_thread_idle(void);

/* Beyond so many bytes of footprint free memory goes back to the system at once. 0: no limit. */
void greyspan_set_memory_limit(size_t bytes);

/* Begins to sample for the heap profile, once in so many bytes of each thread's allocations in the mean; 0 for the usual 512 KiB. 0, or -1 with
 * errno set: ENOTSUP where libgcc_s.so.1, which walks the stacks, cannot be loaded. GREYSPAN_PROFILE=path[:rate] in the environment does it when
 * the program starts, and writes the profile when it exits. */
int greyspan_profile_start(size_t rate);

/* Ends sampling. The profile stays, and what was sampled is counted still when it is freed. */
void greyspan_profile_stop(void);

/* Writes the heap profile as it is now to the file, in pprof's format. 0, or -1 with errno set: by the system, or to ENODATA where none was
 * ever begun. */
int greyspan_heap_profile(const char *path);

/* C23, declared here for C libraries that do not. The sizes are those that the block was asked for with. */
void free_sized(void *ptr, size_t size);
void free_aligned_sized(void *ptr, size_t alignment, size_t size);

#ifdef __cplusplus
}
#endif

#endif
