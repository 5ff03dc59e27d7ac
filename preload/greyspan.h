/* greyspan.h: the functions of libgreyspan.so beside the C malloc family, which <stdlib.h> and
 * <malloc.h> declare.
 *
 * Any thread may call any of these functions at any time, but not from a signal handler.
 *
 * A signal handler must not return into malloc, free or the like if it interrupted such a call,
 * unblocked its own signal by sigprocmask or pthread_sigmask, and then slept: meanwhile another
 * thread may have given the blocks back that the thread keeps. Handlers with SA_NODEFER may sleep.
 */
#ifndef GREYSPAN_H
#define GREYSPAN_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Returns the version of the library, such as "0.1.0". The string is static: do not free it. */
const char *greyspan_version(void);

/* Writes the statistics to buf as one line of JSON, as snprintf does: at most n bytes, including
 * the zero at the end. buf may be null if n is 0. Returns the length of the whole text without that
 * zero; a result of n or more says that the buffer was too small. The keys are the fields of
 * greyspan::Stats. Values are in bytes unless the field is a count. Some values exceed 2^53. */
size_t greyspan_stats_json(char *buf, size_t n);

/* Gives the free memory of the process back to the system now, also that of other threads' caches.
 * Returns the number of bytes. A thread that is inside malloc, free or the like at this moment may
 * keep its free memory until it next needs memory; so do all other threads under a seccomp filter. */
size_t greyspan_purge(void);

/* Tells the heap that the calling thread will be idle. The blocks in the thread's cache become
 * available to other threads and to the system. The thread may allocate again at any time. No
 * program has to call this: for a thread that sleeps, a background thread does it after seconds. */
void greyspan_thread_idle(void);

/* Sets the soft limit in bytes; 0 removes it. While the footprint exceeds the limit, free memory
 * goes back to the system at once. No request is refused. The limit, or its removal, replaces the
 * one that follows from the container's. */
void greyspan_set_memory_limit(size_t bytes);

/* Begins to sample allocations for the heap profile: one sample per `rate` bytes on average; 0
 * means the default, 512 KiB. Returns 0, or -1 with errno set: ENOTSUP if libgcc_s.so.1, which
 * walks the stacks, cannot be loaded; ENOMEM if there is no memory for the profiler's tables.
 * GREYSPAN_PROFILE=path[:rate] in the environment starts sampling when the program starts, and
 * writes the profile when it exits. */
int greyspan_profile_start(size_t rate);

/* Ends sampling. The profile stays, and still counts the frees of sampled blocks. */
void greyspan_profile_stop(void);

/* Writes the current heap profile to the file `path`, in pprof's format. Returns 0, or -1 with
 * errno set: ENODATA if sampling was never started, EFAULT if path is null, or an error of the
 * system. */
int greyspan_heap_profile(const char *path);

/* C23's sized frees, declared here for C libraries that lack them. `size` and `alignment` are those
 * of the request for the block. Values that the block cannot have end the process. */
void free_sized(void *ptr, size_t size);
void free_aligned_sized(void *ptr, size_t alignment, size_t size);

#ifdef __cplusplus
}
#endif

#endif
