/* `fork`, with handlers of other libraries that allocate and free, and with signal handlers that
 * fork at any point. */
#include "case.h"
#include <signal.h>
#include <sys/time.h>

static size_t resident(void) {
    size_t all = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    CHECK(file && fscanf(file, "%zu %zu", &all, &resident) == 2);
    fclose(file);
    return resident * 4096;
}

/* How deep forks are nested; GOES_ON in a child that continues the code that the signal
 * interrupted. */
enum { GOES_ON = 1000 };
static int depth;

static void reap(pid_t child) {
    int status;
    CHECK(child > 0);
    while (waitpid(child, &status, 0) < 0) {
        /* `child` is its parent's child: a signal handler forked this process meanwhile. */
        if (errno == ECHILD && depth == GOES_ON) return;
        CHECK(errno == EINTR);
    }
    if (status != 0) FAIL("a child ended with %x", status);
}

/* Forks, runs `in_child` in the child, and checks that the child ends well. */
static void fork_once(void (*in_child)(void)) {
    pid_t child = fork();
    if (child == 0) {
        if (in_child) in_child();
        _exit(0);
    }
    reap(child);
}

/* Fork handlers of both kinds: *early* ones, registered before the library can register its own,
 * and late ones. `act` sets the handlers of one kind. */
static void (*early_prepare)(void), (*early_parent)(void), (*early_child)(void);
static void early_1(void) { if (early_prepare) early_prepare(); }
static void early_2(void) { if (early_parent) early_parent(); }
static void early_3(void) { if (early_child) early_child(); }
static void before_all_constructors(int argc, char **argv, char **env) { pthread_atfork(early_1, early_2, early_3); }
__attribute__((section(".preinit_array"), used)) static void (*preinit)(int, char **, char **) = before_all_constructors;

static void act(int early, void (*prepare)(void), void (*parent)(void), void (*child)(void)) {
    if (early) early_prepare = prepare, early_parent = parent, early_child = child;
    else CHECK(pthread_atfork(prepare, parent, child) == 0);
}

/* A library frees its cached blocks in each of its handlers. */
enum { CACHED = 1000 };
static void *cached[3][CACHED];
static void drop(int which) {
    for (int i = 0; i < CACHED; i++) {
        FREE(cached[which][i]);
        cached[which][i] = NULL;
    }
}
static void drop_0(void) { drop(0); }
static void drop_1(void) { drop(1); }
static void drop_2(void) { drop(2); }
static void fill(void) {
    for (int which = 0; which < 3; which++)
        for (int i = 0; i < CACHED; i++) {
            if (!cached[which][i]) cached[which][i] = memset(MALLOC(4000 + i % 20 / 19 * 60000), 1, 4000);
        }
}
/* The child allocates and frees the blocks again that its handler has freed. */
static void child_reuses(void) {
    size_t before = resident();
    for (int round = 0; round < 20; round++) {
        fill();
        for (int which = 0; which < 3; which++) drop(which);
    }
    if (resident() > before + (40 << 20)) FAIL("%zu KiB, %zu before", resident() >> 10, before >> 10);
}
static void drops(int early) {
    act(early, drop_0, drop_1, drop_2);
    fill();
    fork_once(NULL);
    for (int round = 0; round < 40; round++) {
        fill();
        fork_once(round % 10 ? NULL : child_reuses);
    }
    for (int which = 0; which < 3; which++) drop(which);
    malloc_trim(0);
    if (resident() > 20 << 20) FAIL("%zu KiB with nothing live", resident() >> 10);
}
static void early_handlers_free(void) { drops(1); }
static void late_handlers_free(void) { drops(0); }

/* A library keeps the blocks that it allocates in its handlers. That costs no more than at other
 * times. */
static char *kept[3][20000];
static long kept_count[3], faults;
static long minor_faults(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_minflt;
}
static void keep(int which) {
    long before = minor_faults();
    for (int i = 0; i < 2000; i++) {
        char *p = MALLOC(100);
        if (!p) FAIL("block %ld is refused", kept_count[which]);
        memset(p, which, 100);
        kept[which][kept_count[which]++] = p;
        FREE(MALLOC(100));
        FREE(CALLOC(1, 5000));
        char *q = REALLOC(MALLOC(70000), 100000);
        q[99999] = 1;
        FREE(q);
    }
    faults += minor_faults() - before;
}
static void keep_0(void) { keep(0); }
static void keep_1(void) { keep(1); }
static void keep_2(void) { keep(2); if (kept_count[2] < 2000) FAIL("not kept"); }
static void keeps(int early) {
    fork_once(NULL);
    act(early, keep_0, keep_1, keep_2);
    for (int i = 0; i < 6; i++) fork_once(NULL);
    /* 24,000 rounds of four blocks. Pages for the kept blocks fault, and pages that the fork
     * shares. */
    if (faults > 8000) FAIL("%ld page faults", faults);
    for (int which = 0; which < 2; which++)
        for (long i = 0; i < kept_count[which]; i++) {
            for (int k = 0; k < 100; k++) CHECK(kept[which][i][k] == which);
            FREE(kept[which][i]);
        }
}
static void early_handlers_keep(void) { keeps(1); }
static void late_handlers_keep(void) { keeps(0); }

/* A library's handler waits for a thread that allocates: the heap is not locked while handlers
 * run. */
static void *allocates_much(void *p) {
    void *block[300];
    for (int i = 0; i < 300; i++) block[i] = MALLOC(i * 1000);
    for (int i = 0; i < 300; i++) FREE(block[i]);
    return p;
}
static void waits(void) {
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, allocates_much, NULL) == 0);
    pthread_join(thread, NULL);
}
static void handlers_wait_for_threads(void) {
    act(1, waits, waits, waits);
    act(0, waits, waits, waits);
    for (int i = 0; i < 5; i++) fork_once(waits);
}

/* Handlers that fork. */
static void forks_again(void) {
    if (depth >= 5) return;
    depth++;
    FREE(MALLOC(50000));
    fork_once(NULL);
    FREE(MALLOC(500));
    depth--;
}
static volatile int stop;
static void *load(void *p) {
    while (!stop) allocates_much(NULL);
    return p;
}
static pthread_t loads[2];
static void start_load(void) {
    stop = 0;
    for (int i = 0; i < 2; i++) CHECK(pthread_create(&loads[i], NULL, load, NULL) == 0);
}
static void end_load(void) {
    stop = 1;
    for (int i = 0; i < 2; i++) pthread_join(loads[i], NULL);
}
static void uses_the_heap(void) { allocates_much(NULL); }
static void handlers_fork(void) {
    act(1, forks_again, NULL, NULL);
    act(0, NULL, forks_again, NULL);
    for (int i = 0; i < 3; i++) fork_once(uses_the_heap);
    start_load();
    for (int i = 0; i < 3; i++) fork_once(uses_the_heap);
    end_load();
    waits();
}

/* Signal handlers that fork in the middle of any call. */
static volatile int handled, handler_allocates;
static void signal_forks(int signal) {
    int before = errno;
    handled++;
    pid_t child = fork();
    if (child == 0) {
        if (handler_allocates) FREE(MALLOC(5000));
        if (handled % 3 == 0) {
            /* The child continues the interrupted code and ends a little later. It has no timer. */
            depth = GOES_ON;
            errno = before;
            return;
        }
        _exit(0);
    }
    int status;
    while (waitpid(child, &status, 0) < 0) if (errno != EINTR) _exit(9);
    if (status != 0) _exit(8);
    errno = before;
}
/* Sends one signal after at most `most` microseconds. One at a time, so that the program makes
 * progress between two signals, even if a fork is slow. */
static void signal_soon(unsigned most) {
    static unsigned state = 1;
    state = state * 1664525u + 1013904223u;
    struct itimerval soon = { { 0, 0 }, { 0, 1 + (state >> 8) % most } };
    CHECK(setitimer(ITIMER_REAL, &soon, NULL) == 0);
}
static void handle(void (*handler)(int)) {
    struct sigaction action = { .sa_handler = handler, .sa_flags = SA_RESTART };
    CHECK(sigaction(SIGALRM, &action, NULL) == 0);
}
static void end_child_in_a_while(void) {
    if (depth != GOES_ON) return;
    for (int i = 0; i < 3; i++) uses_the_heap();
    waits();
    fork_once(waits);
    _exit(0);
}
static void forks_by_signal_during_forks(int rounds) {
    handle(signal_forks);
    for (int i = 0; i < rounds; i++) {
        signal_soon(1500);
        pid_t child = fork();
        if (child == 0) _exit(0);
        end_child_in_a_while();
        reap(child);
        end_child_in_a_while();
    }
}
/* Only in a program without other threads: with them, glibc's own `fork` would wait for itself. The
 * library's background thread does not count as a thread of the program. */
static void signals_fork_during_fork(void) {
    FREE(MALLOC(10));
    forks_by_signal_during_forks(300);
    /* The other handlers take long, so most signals arrive between the library's hooks. */
    act(1, uses_the_heap, uses_the_heap, NULL);
    act(0, uses_the_heap, uses_the_heap, NULL);
    handler_allocates = 1;
    forks_by_signal_during_forks(100);
    waits();
    CHECK(handled > 20);
}
/* Much of this is slow, so signals arrive in the middle of it. */
static void is_slow(void) {
    enum { COUNT = 900 };
    static char *p[COUNT];
    for (int k = 0; k < COUNT; k++) {
        size_t n = 30 + k % 3 * 1500 + k % 500;
        p[k] = MALLOC(n);
        memset(p[k], k, n);
    }
    for (int k = 0; k < COUNT; k++) {
        size_t n = 30 + k % 3 * 1500 + k % 500;
        CHECK(p[k][0] == (char)k && p[k][n - 1] == (char)k);
        FREE(p[k]);
    }
    malloc_trim(0);
}
static void signals_fork_during_malloc(void) {
    handler_allocates = 1;
    handle(signal_forks);
    for (int i = 0; i < 4000 && handled < 200; i++) {
        signal_soon(700);
        is_slow();
        if (depth == GOES_ON) {
            is_slow();
            end_child_in_a_while();
        }
    }
    CHECK(handled > 50);
    waits();
}
/* Here the children end in the handler: in the parent, another thread may hold any lock. */
static void signal_forks_a_child_that_exits(int signal) {
    int before = errno, status;
    handled++;
    pid_t child = fork();
    if (child == 0) {
        FREE(MALLOC(5000));
        _exit(0);
    }
    while (waitpid(child, &status, 0) < 0) if (errno != EINTR) _exit(9);
    if (status != 0) _exit(8);
    errno = before;
}
static void signals_fork_during_malloc_under_load(void) {
    start_load();
    handle(signal_forks_a_child_that_exits);
    for (int i = 0; i < 1000 && handled < 100; i++) {
        signal_soon(700);
        is_slow();
    }
    CHECK(handled > 20);
    end_load();
}

/* Without the background thread, the program's frees return free pages to the system. */
static void signals_fork_while_frees_look(void) {
    enum { COUNT = 8000 };
    static char *p[COUNT];
    handle(signal_forks_a_child_that_exits);
    for (int i = 0; i < 400 && handled < 150; i++) {
        for (int k = 0; k < COUNT; k++) *(p[k] = MALLOC(4000 + k % 3 * 1000)) = 1;
        signal_soon(3000);
        for (int k = 0; k < COUNT; k++) FREE(p[k]);
    }
    CHECK(handled > 50);
}

/* Threads fork at the same time. */
static void *forks_often(void *p) {
    for (int i = 0; i < 40; i++) fork_once(uses_the_heap);
    return p;
}
static void threads_fork_at_once(void) {
    act(0, uses_the_heap, uses_the_heap, uses_the_heap);
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) CHECK(pthread_create(&threads[i], NULL, forks_often, NULL) == 0);
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
}

static const struct entry table[] = {
    { "early_handlers_free", early_handlers_free },
    { "late_handlers_free", late_handlers_free },
    { "early_handlers_keep", early_handlers_keep },
    { "late_handlers_keep", late_handlers_keep },
    { "handlers_wait_for_threads", handlers_wait_for_threads },
    { "handlers_fork", handlers_fork },
    { "signals_fork_during_fork", signals_fork_during_fork },
    { "signals_fork_during_malloc", signals_fork_during_malloc },
    { "signals_fork_during_malloc_under_load", signals_fork_during_malloc_under_load },
    { "signals_fork_while_frees_look", signals_fork_while_frees_look },
    { "threads_fork_at_once", threads_fork_at_once },
};

int main(int argc, char **argv) { return run_case(table, sizeof table / sizeof *table, argc, argv); }
