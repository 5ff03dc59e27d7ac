/* Threads whose caches the keeper takes over: while they sleep, are interrupted, exchange blocks
 * and end, and while the process forks. */
#include "case.h"
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <time.h>

extern size_t greyspan_purge(void) __attribute__((weak));
extern size_t greyspan_stats_json(char *, size_t) __attribute__((weak));

static unsigned rnd(unsigned *state) { return *state = *state * 1664525u + 1013904223u, *state >> 8; }

static void pause_millis(long millis) {
    struct timespec time = { millis / 1000, millis % 1000 * 1000000 };
    while (nanosleep(&time, &time) != 0) {}
}

/* The physical memory of the process, in MiB. */
static long resident(void) {
    char text[128] = "";
    int fd = open("/proc/self/statm", O_RDONLY);
    if (fd < 0 || read(fd, text, sizeof text - 1) <= 0) FAIL("no statm");
    close(fd);
    long pages = 0;
    sscanf(text, "%*d %ld", &pages);
    return pages * sysconf(_SC_PAGESIZE) >> 20;
}

/* Returns once the process has at most `most` MiB. The test's watchdog ends a process that never
 * does. */
static void wait_until(long most) { while (resident() > most) pause_millis(50); }

/* A block: its size, then its pattern. */
struct block { size_t size; unsigned char bytes[]; };

static struct block *make(unsigned *state) {
    unsigned kind = rnd(state) % 64;
    size_t size = rnd(state) % (kind == 0 ? 300000 : kind < 4 ? 30000 : kind < 20 ? 3000 : 300);
    struct block *block = MALLOC(sizeof *block + size);
    CHECK(block != NULL);
    block->size = size;
    memset(block->bytes, (int)((uintptr_t)block >> 4 ^ size), size);
    return block;
}

static void check(struct block *block) {
    unsigned char byte = (uintptr_t)block >> 4 ^ block->size;
    for (size_t i = 0; i < block->size; i++)
        if (block->bytes[i] != byte) FAIL("byte %zu of %zu is %x, not %x", i, block->size, block->bytes[i], byte);
}

static void end(struct block *block) {
    check(block);
    FREE(block);
}

/* Blocks that their makers left for other threads. */
enum { THREADS = 32, SHELVES = 1024, OWN = 400 };
static struct block *_Atomic shelves[SHELVES];
static atomic_int over;

static int allocates;
static atomic_uint handled;

/* Sleeps, now and then as long as a thread that is idle. In one case it allocates before and after:
 * it keeps no block, and has one at a time, so a call of the heap that it interrupted goes on. */
static void handler(int signal) {
    int before = errno;
    unsigned turn = atomic_fetch_add(&handled, 1), state = turn;
    if (allocates) end(make(&state));
    pause_millis(turn % 40 == 0 ? 1100 : 1 + turn % 12);
    if (allocates) end(make(&state));
    errno = before;
}

/* Lets the signal interrupt the calling thread while it runs. */
static timer_t interrupt_this_thread(void) {
    struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR2 };
    event._sigev_un._tid = syscall(SYS_gettid);
    timer_t timer;
    CHECK(timer_create(CLOCK_THREAD_CPUTIME_ID, &event, &timer) == 0);
    struct itimerspec often = { { 0, 1000000 }, { 0, 1000000 } };
    CHECK(timer_settime(timer, 0, &often, NULL) == 0);
    return timer;
}

static void *live(void *seed) {
    unsigned state = (unsigned)(uintptr_t)seed * 2654435761u + 1, kind = (uintptr_t)seed % 4;
    timer_t timer;
    if (kind % 2 == 0) timer = interrupt_this_thread();
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    /* Such a thread may be in a handler, as far as the keeper knows. */
    if (kind == 1) pthread_sigmask(SIG_BLOCK, &set, NULL);
    struct block *own[OWN] = { 0 };
    for (int nap = 0; nap < 8 && !over; nap++) {
        for (int turn = 0; turn < 4000; turn++) {
            struct block **place = &own[rnd(&state) % OWN];
            struct block *old = *place;
            *place = make(&state);
            if (old && rnd(&state) % 4 == 0) old = atomic_exchange(&shelves[rnd(&state) % SHELVES], old);
            if (old) end(old);
        }
        pause_millis(1 + rnd(&state) % (rnd(&state) % 12 == 0 ? 1200 : 20));
    }
    for (int i = 0; i < OWN; i++) if (own[i]) end(own[i]);
    /* The signal may come once more before the timer ends, in the middle of any call. */
    if (kind % 2 == 0) timer_delete(timer);
    return NULL;
}

/* One thread after another. */
static void *lives(void *id) {
    for (uintptr_t turn = 0; !over; turn++) {
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, live, (void *)(turn * THREADS + (uintptr_t)id)) == 0);
        CHECK(pthread_join(thread, NULL) == 0);
    }
    return NULL;
}

/* After a purge each thread gives up all of its bins at its next slow call, which a handler that
 * allocates must not do. */
static void *purges(void *unused) {
    while (!over) {
        if (!allocates) greyspan_purge();
        usleep(100);
    }
    return NULL;
}

static void child(struct block **inherited, int count, unsigned state) {
    struct block *own[OWN];
    for (int i = 0; i < OWN; i++) own[i] = make(&state);
    for (int i = 0; i < count; i++) end(inherited[i]);
    for (int i = 0; i < OWN; i++) end(own[i]);
    if (state % 4 == 0) greyspan_purge();
    _exit(0);
}

static void storm(void) {
    CHECK(greyspan_purge != NULL);
    struct sigaction action = { .sa_handler = handler, .sa_flags = SA_RESTART };
    sigaction(SIGUSR2, &action, NULL);
    unsigned state = 1;
    struct block *inherited[OWN];
    for (int i = 0; i < OWN; i++) inherited[i] = make(&state);
    pthread_t threads[THREADS + 1];
    for (uintptr_t i = 0; i < THREADS; i++) CHECK(pthread_create(&threads[i], NULL, lives, (void *)i) == 0);
    CHECK(pthread_create(&threads[THREADS], NULL, purges, NULL) == 0);
    time_t begin = time(NULL);
    while (time(NULL) < begin + 6) {
        pid_t pid = fork();
        if (pid == 0) {
            alarm(60);
            child(inherited, OWN, rnd(&state));
        }
        int status;
        CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
        if (status != 0) FAIL("a child ended with status %x", status);
        end(make(&state));
        rnd(&state);
        pause_millis(40);
    }
    over = 1;
    for (int i = 0; i <= THREADS; i++) pthread_join(threads[i], NULL);
    for (int i = 0; i < OWN; i++) end(inherited[i]);
    for (int i = 0; i < SHELVES; i++) if (shelves[i]) end(shelves[i]);
    if (handled == 0) FAIL("no signal came");
    wait_until(32);
}

static void storm_of_allocating_handlers(void) {
    allocates = 1;
    storm();
}

/* Threads that use and free `bytes` in many classes and then wait. Between the two barriers, and
 * from there to their end, they call nothing of the heap. */
static pthread_barrier_t ready, go;
static void *use_and_free(void *bytes) {
    static const size_t sizes[] = { 16, 48, 112, 250, 500, 1000, 2000, 3000, 5000, 8000, 12000, 20000, 31000, 60000, 100000, 200000 };
    enum { CLASSES = sizeof sizes / sizeof *sizes };
    size_t each = (size_t)bytes / CLASSES;
    char **all[CLASSES];
    for (int c = 0; c < CLASSES; c++) {
        size_t count = each / sizes[c] + 1;
        all[c] = MALLOC(count * sizeof *all[c]);
        for (size_t i = 0; i < count; i++) {
            all[c][i] = MALLOC(sizes[c]);
            for (size_t at = 0; at < sizes[c]; at += 4096) all[c][i][at] = 1;
        }
    }
    for (int c = 0; c < CLASSES; c++) {
        for (size_t i = 0; i < each / sizes[c] + 1; i++) FREE(all[c][i]);
        FREE(all[c]);
    }
    pthread_barrier_wait(&ready);
    pthread_barrier_wait(&go);
    return NULL;
}

static pthread_t sleepers[1000];
static void start_sleepers(int count, size_t bytes) {
    pthread_barrier_init(&ready, NULL, count + 1);
    pthread_barrier_init(&go, NULL, count + 1);
    for (int i = 0; i < count; i++) CHECK(pthread_create(&sleepers[i], NULL, use_and_free, (void *)bytes) == 0);
    pthread_barrier_wait(&ready);
}
static void end_sleepers(int count) {
    pthread_barrier_wait(&go);
    for (int i = 0; i < count; i++) CHECK(pthread_join(sleepers[i], NULL) == 0);
}

static unsigned long cache_bytes(void) {
    static char text[1 << 16];
    CHECK(greyspan_stats_json(text, sizeof text) < sizeof text);
    char *at = strstr(text, "\"mcache_sys\":");
    CHECK(at != NULL);
    return strtoul(at + 13, NULL, 10);
}

/* The last destructor of a thread runs after the heap's own, and so do the C library's last frees. A
 * cache that such a call made would stay behind, with a thread that the keeper can't find. */
static pthread_key_t again;
static void allocates_again(void *round) {
    FREE(MALLOC(5000));
    FREE(MALLOC(100000));
    if ((uintptr_t)round < 4) pthread_setspecific(again, (char *)round + 1);
}
static void *allocates_at_its_end(void *unused) {
    FREE(MALLOC(5000));
    CHECK(pthread_setspecific(again, (void *)1) == 0);
    return NULL;
}
static void ended_threads_have_no_cache(void) {
    /* The heap makes its key first. */
    FREE(MALLOC(5000));
    CHECK(pthread_key_create(&again, allocates_again) == 0);
    unsigned long before = 0;
    for (int i = 0; i < 400; i++) {
        if (i == 20) before = cache_bytes();
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, allocates_at_its_end, NULL) == 0 && pthread_join(thread, NULL) == 0);
    }
    unsigned long grown = cache_bytes() - before;
    if (grown > 1 << 20) FAIL("%lu KiB more for caches", grown >> 10);
}

static void parked_threads_end(void) {
    unsigned long before = 0;
    for (int round = 0; round < 4; round++) {
        start_sleepers(250, 200 << 10);
        if (round % 2 == 0) greyspan_purge();
        wait_until(40);
        end_sleepers(250);
        unsigned long now = cache_bytes();
        if (round > 0 && now != before) FAIL("%lu then %lu bytes of caches", before, now);
        before = now;
    }
}

static void hard_limit(void) {
    start_sleepers(64, 8 << 20);
    static char *blocks[480];
    for (int i = 0; i < 480; i++) {
        blocks[i] = MALLOC((1 << 20) - 4096);
        if (!blocks[i]) FAIL("refused after %d MiB", i);
        memset(blocks[i], 1, (1 << 20) - 4096);
    }
    for (int i = 0; i < 480; i++) FREE(blocks[i]);
    end_sleepers(64);
}

static void soft_limit(void) {
    start_sleepers(1000, 1 << 20);
    wait_until(220);
    end_sleepers(1000);
}

static const struct entry table[] = {
    { "ended_threads_have_no_cache", ended_threads_have_no_cache },
    { "hard_limit", hard_limit },
    { "parked_threads_end", parked_threads_end },
    { "soft_limit", soft_limit },
    { "storm", storm },
    { "storm_of_allocating_handlers", storm_of_allocating_handlers },
};

int main(int argc, char **argv) { return run_case(table, sizeof table / sizeof *table, argc, argv); }
