/* Threads, forks, signals, plug-ins and limits around the allocator. "Case N" is a number in the
 * catalogue of bad input. */
#include "case.h"
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <ucontext.h>

extern char **environ;

static unsigned rnd(unsigned *state) { return *state = *state * 1664525u + 1013904223u, *state >> 8; }

/* Sizes of all kinds, most of them small. */
static size_t some_size(unsigned *state) {
    unsigned r = rnd(state);
    switch (r % 16) {
    case 0: return r / 16 % 300000;
    case 1: return r / 16 % 40000;
    case 2: case 3: return r / 16 % 4000;
    default: return r / 16 % 500;
    }
}

/* Allocates and frees blocks at random. The first and the last byte of each block hold its
 * number. */
static void churn(unsigned seed, int rounds) {
    enum { KEEP = 60 };
    char *p[KEEP] = { 0 };
    size_t n[KEEP] = { 0 };
    unsigned state = seed * 2654435761u + 1;
    for (int round = 0; round < rounds; round++) {
        int i = rnd(&state) % KEEP;
        if (p[i] && n[i] && (p[i][0] != (char)i || p[i][n[i] - 1] != (char)i)) FAIL("a block changed");
        size_t size = some_size(&state);
        if (p[i] && round % 3 == 0) {
            p[i] = REALLOC(p[i], size + 1);
        } else {
            FREE(p[i]);
            p[i] = round % 5 ? MALLOC(size + 1) : CALLOC(1, size + 1);
        }
        n[i] = size + 1;
        CHECK(p[i] != NULL);
        p[i][0] = p[i][size] = (char)i;
    }
    for (int i = 0; i < KEEP; i++) FREE(p[i]);
}

static volatile int stop;
static void *load(void *seed) {
    for (unsigned i = 0; !stop; i++) churn((unsigned)(uintptr_t)seed + i * 16, 200);
    return NULL;
}

enum { LOADS = 4 };
static pthread_t loads[LOADS];
static void start_load(void) {
    for (size_t i = 0; i < LOADS; i++) CHECK(pthread_create(&loads[i], NULL, load, (void *)i) == 0);
}
static void end_load(void) {
    stop = 1;
    for (int i = 0; i < LOADS; i++) pthread_join(loads[i], NULL);
}

static void reap(pid_t child) {
    int status;
    CHECK(child > 0 && waitpid(child, &status, 0) == child);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) FAIL("a child ended with status %x", status);
}

/* Cases 50 and 51: at the limit of address space, requests are refused; after frees they are
 * served. */
static void limited(void) {
    struct rlimit limit = { (size_t)300 << 20, (size_t)300 << 20 };
    CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
    for (int round = 0; round < 3; round++) {
        size_t sizes[] = { 1 << 20, 48, 5000 };
        size_t n = sizes[round];
        char **list = NULL, **p;
        errno = 0;
        size_t count = 0;
        while ((p = MALLOC(n)) != NULL) { memset(p, 1, n); *p = (char *)list; list = p; count++; }
        CHECK(errno == ENOMEM && count * n > (size_t)100 << 20);
        /* A block that cannot grow stays unchanged. */
        memset((char *)list + 8, 7, n - 8);
        errno = 0;
        CHECK(REALLOC(list, (size_t)200 << 20) == NULL && errno == ENOMEM);
        for (size_t k = 8; k < n; k++) CHECK(((char *)list)[k] == 7);
        while (list) { p = (char **)*list; FREE(list); list = p; }
        void *again = MALLOC(n);
        CHECK(again != NULL);
        FREE(again);
        malloc_trim(0);
    }
    void *large = MALLOC((size_t)60 << 20);
    CHECK(large != NULL);
    FREE(large);
    churn(1, 20000);
}

/* The address space of the process, in bytes. */
static size_t address_space(void) {
    size_t pages = 0;
    FILE *statm = fopen("/proc/self/statm", "r");
    CHECK(statm != NULL && fscanf(statm, "%zu", &pages) == 1);
    fclose(statm);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static void *touch_a_block(void *ignored) {
    (void)ignored;
    char *p = MALLOC(100);
    CHECK(p != NULL);
    *p = 1;
    FREE(p);
    return NULL;
}

/* The heap reserves little more address space than it uses. So a limit that the program sets on
 * itself leaves the rest of the program nearly that much. */
static void limits_itself(void) {
    FREE(MALLOC(100));
    CHECK(address_space() < (size_t)64 << 20);
    size_t more = (size_t)256 << 20, bytes = address_space() + more;
    struct rlimit limit = { bytes, bytes };
    CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, touch_a_block, NULL) == 0 && pthread_join(thread, NULL) == 0);
    void *file = mmap(NULL, 1 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(file != MAP_FAILED && dlopen("libm.so.6", RTLD_NOW) != NULL);
    size_t sizes[] = { 1 << 20, 48 };
    for (int round = 0; round < 2; round++) {
        char **list = NULL, **p;
        size_t got = 0;
        errno = 0;
        for (; (p = MALLOC(sizes[round])) != NULL; got += sizes[round]) *p = (char *)list, list = p;
        CHECK(errno == ENOMEM && got < more && got > more / 2);
        while (list) p = (char **)*list, FREE(list), list = p;
    }
    FREE(MALLOC(1 << 20));
}

/* Case 56: the process has as many mappings as the kernel allows. */
static void mappings_used_up(void) {
    enum { MANY = 70000 };
    long page = sysconf(_SC_PAGESIZE);
    char *area = mmap(NULL, (size_t)MANY * 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(area != MAP_FAILED);
    void *before[100];
    for (int i = 0; i < 100; i++) before[i] = memset(MALLOC(100000), i, 100000);
    int made = 0;
    while (made < MANY && mprotect(area + (size_t)made * 2 * page, page, PROT_READ) == 0) made++;
    CHECK(made < MANY);
    for (int i = 0; i < 100; i++) FREE(before[i]);
    malloc_trim(0);
    unsigned state = 5;
    for (int i = 0; i < 20000; i++) {
        size_t n = some_size(&state) + 1;
        errno = 0;
        char *p = MALLOC(n);
        if (!p) { CHECK(errno == ENOMEM); continue; }
        p[0] = p[n - 1] = 1;
        FREE(p);
    }
    CHECK(munmap(area, (size_t)MANY * 2 * page) == 0);
    churn(2, 20000);
}

/* Case 58: children of a fork under load allocate, free and fork. */
static void fork_under_load(void) {
    void *mine[500];
    start_load();
    for (int round = 0; round < 300; round++) {
        for (int i = 0; i < 500; i++) mine[i] = MALLOC(i * 3 + 1);
        pid_t child = fork();
        if (child == 0) {
            for (int i = 0; i < 500; i++) FREE(mine[i]);
            churn(round, 500);
            if (round % 10 == 0) {
                stop = 0;
                pthread_t thread;
                CHECK(pthread_create(&thread, NULL, load, NULL) == 0);
                pid_t grandchild = fork();
                if (grandchild == 0) { churn(round, 200); _exit(0); }
                reap(grandchild);
                stop = 1;
                pthread_join(thread, NULL);
            }
            _exit(0);
        }
        reap(child);
        for (int i = 0; i < 500; i++) FREE(mine[i]);
    }
    end_load();
}

/* Case 59: signal handlers fork, and fork handlers allocate. */
static volatile int forked;
static void forks(int signal) {
    pid_t child = fork();
    if (child == 0) _exit(0);
    reap(child);
    forked++;
}
static void allocates(void) { for (int i = 0; i < 200; i++) FREE(MALLOC(i * 50)); }
static void fork_from_handlers(void) {
    CHECK(pthread_atfork(allocates, allocates, allocates) == 0);
    signal(SIGUSR1, forks);
    start_load();
    for (int i = 0; i < 50; i++) raise(SIGUSR1);
    CHECK(forked == 50);
    end_load();
}

/* Case 60: vfork, posix_spawn, system and daemon under load. */
static void vfork_and_spawn(void) {
    start_load();
    char *arguments[] = { "/bin/true", NULL };
    for (int i = 0; i < 100; i++) {
        pid_t child = vfork();
        if (child == 0) { execve("/bin/true", arguments, environ); _exit(1); }
        reap(child);
        CHECK(posix_spawn(&child, "/bin/true", NULL, NULL, arguments, environ) == 0);
        reap(child);
    }
    for (int i = 0; i < 20; i++) CHECK(system("true") == 0);
    end_load();
    int ends[2];
    CHECK(pipe(ends) == 0);
    pid_t child = fork();
    if (child == 0) {
        if (daemon(1, 1) || daemon(1, 1)) _exit(1);
        churn(3, 2000);
        char done = 'd';
        _exit(write(ends[1], &done, 1) != 1);
    }
    reap(child);
    char done;
    CHECK(read(ends[0], &done, 1) == 1 && done == 'd');
}

/* Case 61: a handler that allocates and frees interrupts calls of every kind, the slow ones too.
 * Its blocks are large. With small blocks it could refill or flush a bin that the interrupted call
 * is changing, and the heap cannot serve that. */
static volatile unsigned handled;
static char *volatile kept[16];
static void interrupts(int signal) {
    static unsigned state = 9;
    int before = errno;
    handled++;
    static const size_t sizes[] = { 34000, 40000, 45000, 50000, 66000, 70000, 100000, 120000, 150000, 300000 };
    for (int i = 0; i < 4; i++) {
        size_t n = sizes[rnd(&state) % 10];
        char *p = rnd(&state) % 2 ? MALLOC(n) : CALLOC(1, n);
        if (p) p[0] = p[n - 1] = 'h';
        if (p) p = REALLOC(p, n * 2);
        if (p && (p[0] != 'h' || p[n - 1] != 'h')) FAIL("a block of the handler changed");
        FREE(p);
    }
    errno = before;
}
static void keeps(int signal) {
    static unsigned state = 11;
    int before = errno;
    interrupts(signal);
    int i = rnd(&state) % 16;
    FREE(kept[i]);
    kept[i] = MALLOC(rnd(&state) % 100000 + 33000);
    errno = before;
}
static void with_signals(void (*handler)(int)) {
    struct sigaction action = { .sa_mask = { { 0 } }, .sa_handler = handler, .sa_flags = SA_RESTART };
    sigaddset(&action.sa_mask, SIGALRM);
    sigaddset(&action.sa_mask, SIGPROF);
    CHECK(sigaction(SIGALRM, &action, NULL) == 0 && sigaction(SIGPROF, &action, NULL) == 0);
    struct itimerval fast = { { 0, 2000 }, { 0, 2000 } };
    CHECK(setitimer(ITIMER_REAL, &fast, NULL) == 0);
    CHECK(setitimer(ITIMER_PROF, &fast, NULL) == 0);
    for (unsigned i = 0; i < 60 || (handled < 400 && i < 20000); i++) {
        /* Much of this is slow, so signals arrive in the middle of it. */
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
        if (i % 8 == 0) malloc_trim(0);
        if (i % 8 == 1) mallinfo2();
    }
    struct itimerval never = { { 0, 0 }, { 0, 0 } };
    setitimer(ITIMER_REAL, &never, NULL);
    setitimer(ITIMER_PROF, &never, NULL);
    CHECK(handled >= 400);
}
static void signals(void) { with_signals(interrupts); }
static void signals_that_keep_blocks(void) { with_signals(keeps); }
static void signals_under_load(void) {
    start_load();
    with_signals(interrupts);
    end_load();
}

/* Cases 63 and 64: blocks of a thread are freed after the thread has ended, or while it runs. */
static void *leaves_blocks(void *place) {
    void **blocks = place;
    for (int i = 0; i < 300; i++) blocks[i] = memset(MALLOC(i * 17 + 1), i, i * 17 + 1);
    return NULL;
}
static void blocks_outlive_threads(void) {
    static void *blocks[8][300];
    long peak = 0;
    for (int round = 0; round < 400; round++) {
        pthread_t thread[8];
        for (int i = 0; i < 8; i++) CHECK(pthread_create(&thread[i], NULL, leaves_blocks, blocks[i]) == 0);
        for (int i = 0; i < 8; i++) {
            /* Some are freed while the thread may still run, others after it has ended. */
            if (i % 2) pthread_join(thread[i], NULL);
            else while (!*(void *volatile *)&blocks[i][299]) sched_yield();
            for (int k = 0; k < 300; k++) {
                CHECK(((char *)blocks[i][k])[k * 17] == (char)k);
                FREE(blocks[i][k]);
                blocks[i][k] = NULL;
            }
            if (i % 2 == 0) pthread_join(thread[i], NULL);
        }
        struct rusage usage;
        getrusage(RUSAGE_SELF, &usage);
        if (round == 100) peak = usage.ru_maxrss;
        if (round > 100 && usage.ru_maxrss > peak + 16384) FAIL("%ld KiB after %ld KiB", usage.ru_maxrss, peak);
    }
}

/* Case 65: cancelled threads. */
static void *waits(void *p) {
    pthread_cleanup_push(free, MALLOC(100));
    churn(4, 200);
    for (;;) pause();
    pthread_cleanup_pop(1);
    return NULL;
}
static void cancelled_threads(void) {
    for (int i = 0; i < 300; i++) {
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, waits, NULL) == 0);
        if (i % 3) sched_yield();
        CHECK(pthread_cancel(thread) == 0 && pthread_join(thread, NULL) == 0);
    }
    churn(5, 2000);
}

/* Case 66: destructors of keys allocate, as many times as destructors may run, and also those of
 * keys beyond the 32nd. */
static pthread_key_t keys[40];
static pthread_key_t round_key;
static void destroys(void *value) {
    uintptr_t round = *(uintptr_t *)value;
    FREE(value);
    churn(6, 50);
    if (round < 3) {
        uintptr_t *again = MALLOC(200);
        *again = round + 1;
        pthread_setspecific(round_key, again);
    }
}
static void destroys_one(void *value) { FREE(value); FREE(MALLOC(70)); }
static void *has_values(void *p) {
    uintptr_t *first = MALLOC(200);
    *first = 0;
    pthread_setspecific(round_key, first);
    for (int i = 0; i < 40; i++) pthread_setspecific(keys[i], MALLOC(i * 100 + 1));
    return NULL;
}
static void destructors_of_keys(void) {
    CHECK(pthread_key_create(&round_key, destroys) == 0);
    for (int i = 0; i < 40; i++) CHECK(pthread_key_create(&keys[i], destroys_one) == 0);
    for (int i = 0; i < 300; i++) {
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, has_values, NULL) == 0);
        pthread_join(thread, NULL);
    }
}

/* Case 67: exit handlers and destructors allocate after main, while threads run on. */
static void *from_main;
static void at_end(void) { FREE(from_main); churn(7, 500); }
__attribute__((destructor)) static void at_very_end(void) { churn(8, 500); }
static void exit_while_threads_run(void) {
    from_main = MALLOC(1000);
    atexit(at_end);
    start_load();
    usleep(20000);
    exit(0);
}

/* Case 68: a plug-in, whose path is the second argument, is loaded and closed again and again.
 * Blocks pass between it and the program. Large libraries are loaded and closed too. */
static const char *plugin;
static void plugins(void) {
    start_load();
    for (int i = 0; i < 200; i++) {
        void *handle = dlopen(plugin, i % 2 ? RTLD_NOW : RTLD_LAZY | RTLD_GLOBAL);
        if (!handle) FAIL("%s", dlerror());
        void *(*make)(size_t) = dlsym(handle, "plugin_make");
        void (*drop)(void *) = dlsym(handle, "plugin_drop");
        CHECK(make && drop);
        void *theirs = make(i * 100), *ours = MALLOC(100);
        drop(ours);
        CHECK(dlclose(handle) == 0);
        FREE(theirs);
    }
    const char *big[] = { "libstdc++.so.6", "libcrypto.so.3", "libsqlite3.so.0", "libz.so.1", "libgomp.so.1" };
    for (int i = 0; i < 50; i++) {
        void *handle = dlopen(big[i % 5], RTLD_NOW);
        if (handle) dlclose(handle);
    }
    end_load();
}

/* Case 68: the library itself, whose path is the second argument, is loaded late and closed. The
 * room for thread-local slots is nearly used up. */
static void loaded_late(void) {
    void *hungry = dlopen(getenv("HUNGRY"), RTLD_NOW);
    if (!hungry) FAIL("%s", dlerror());
    void *handle = dlopen(plugin, RTLD_NOW | RTLD_LOCAL);
    if (!handle) FAIL("%s", dlerror());
    void *(*make)(size_t) = dlsym(handle, "malloc");
    void (*drop)(void *) = dlsym(handle, "free");
    size_t (*usable)(void *) = dlsym(handle, "malloc_usable_size");
    CHECK(make && make != malloc);
    char *p[1000];
    for (int i = 0; i < 1000; i++) p[i] = memset(make(i), i, i);
    CHECK(dlclose(handle) == 0);
    for (int i = 0; i < 1000; i++) { CHECK(usable(p[i]) >= (size_t)i); drop(p[i]); }
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, (void *(*)(void *))make, (void *)100) == 0);
    pthread_join(thread, NULL);
}

/* Case 69: threads with a stack of 16 KiB. */
static void *on_little_stack(void *p) {
    churn(9, 3000);
    FREE(hide(aligned_alloc(4096, 100)));
    FREE(MALLOC(40 << 20));
    malloc_trim(0);
    mallinfo2();
    return NULL;
}
static void little_stacks(void) {
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    CHECK(pthread_attr_setstacksize(&attributes, 16384) == 0);
    for (int i = 0; i < 20; i++) {
        pthread_t thread;
        CHECK(pthread_create(&thread, &attributes, on_little_stack, NULL) == 0);
        pthread_join(thread, NULL);
    }
}

/* Case 71: standard error is closed, and a filter forbids system calls that the heap can do
 * without. */
static void closed_standard_error(void) {
    close(2);
    char *p = MALLOC(64);
    FREE(p);
    FREE(p);
}
static void forbidden_calls(void) {
    enum { FORBIDDEN = 7 };
    int forbidden[FORBIDDEN] = { SYS_madvise, SYS_mremap, SYS_membarrier, SYS_getrandom, SYS_mincore, SYS_prctl, SYS_sched_getaffinity };
    struct sock_filter code[FORBIDDEN + 3];
    int at = 0;
    code[at++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (int i = 0; i < FORBIDDEN; i++)
        code[at++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, forbidden[i], FORBIDDEN - i, 0);
    code[at++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    code[at++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
    struct sock_fprog program = { at, code };
    CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
    churn(10, 50000);
    char *p = MALLOC(1 << 20);
    for (size_t n = 2 << 20; n < 100 << 20; n *= 2) {
        p = REALLOC(p, n);
        CHECK(p != NULL);
        p[n - 1] = 1;
    }
    FREE(p);
    malloc_trim(0);
    p = CALLOC(1, 50 << 20);
    for (size_t k = 0; k < 50 << 20; k += 4096) CHECK(p[k] == 0);
    FREE(p);
}

/* Case 73: blocks of the C library's own allocator. */
static void foreign_blocks(void) {
    void *libc = dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD);
    void *(*libc_malloc)(size_t) = libc ? dlsym(libc, "__libc_malloc") : NULL;
    CHECK(libc_malloc != NULL);
    for (size_t n = 1; n < 100000; n = n * 3 + 1) {
        char *p = hide(libc_malloc(n)), *q = hide(libc_malloc(n));
        memset(p, 5, n);
        memset(q, 6, n);
        errno = 77;
        FREE(p);
        CHECK(errno == 77);
        q = REALLOC(q, n * 2);
        for (size_t k = 0; k < n; k++) CHECK(q[k] == 6);
        CHECK(malloc_usable_size(q) >= n * 2);
        FREE(q);
    }
}

/* A program may write its registers to a block, as bytes of a value that do not matter. So after a
 * call no register may contain the mark of a free block: the block would look free. */
#ifdef __x86_64__
#define REGISTERS(call) __asm__ volatile("call *%1\n\tmovq %%rcx, (%2)\n\tmovq %%rdx, 8(%2)\n\tmovq %%rsi, 16(%2)\n\tmovq %%rdi, 24(%2)\n\tmovq %%r8, 32(%2)\n\t" \
    "movq %%r9, 40(%2)\n\tmovq %%r10, 48(%2)\n\tmovq %%r11, 56(%2)" : "=a"(result), "+r"(f), "+r"(seen), "+D"(argument) : : \
    "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "memory", "cc")
static void *call_and_see(void *call, uintptr_t argument, uintptr_t *place) {
    void *result;
    register void *f __asm__("rbx") = call;
    register uintptr_t *seen __asm__("r12") = place;
    REGISTERS(call);
    return result;
}
static void no_register_keeps_a_mark(void) {
    uintptr_t seen[8];
    unsigned state = 3;
    for (int i = 0; i < 20000; i++) {
        size_t n = rnd(&state) % 40000;
        uintptr_t *p = call_and_see(malloc, n, seen), mark;
        if (malloc_usable_size(p) > 32768) { FREE(p); continue; }
        void *more[4];
        for (int k = 0; k < i % 4; k++) more[k] = MALLOC(n);
        uintptr_t after_free[8];
        p[1] = 1;
        call_and_see(free, (uintptr_t)p, after_free);
        mark = *(volatile uintptr_t *)(p + 1);
        CHECK(mark != 1);
        for (int k = 0; k < 8; k++) {
            if (seen[k] == mark) FAIL("register %d after malloc(%zu)", k, n);
            if (after_free[k] == mark) FAIL("register %d after free of %zu", k, n);
        }
        for (int k = 0; k < i % 4; k++) FREE(more[k]);
    }
}
#else
static void no_register_keeps_a_mark(void) {}
#endif

static int threads_now(void) {
    char status[4096];
    int fd = open("/proc/self/status", O_RDONLY);
    ssize_t n = read(fd, status, sizeof status - 1);
    close(fd);
    if (n <= 0) FAIL("no status");
    status[n] = 0;
    return atoi(strstr(status, "Threads:") + 8);
}

/* A free must not start a thread. The C library frees while it holds locks that starting a thread
 * takes, in `pthread_join` for example. */
static void frees_start_no_thread(void) {
    enum { COUNT = 200000, BIG = 20 };
    static char *p[COUNT], *big[BIG];
    for (int i = 0; i < COUNT; i++) p[i] = MALLOC(200);
    for (int i = 0; i < BIG; i++) memset(big[i] = MALLOC(1 << 20), 1, 1 << 20);
    int before = threads_now();
    for (int i = 0; i < BIG; i++) FREE(big[i]);
    for (int i = 0; i < COUNT; i++) FREE(p[i]);
    if (threads_now() > before) FAIL("%d threads, %d before", threads_now(), before);
}

/* `realloc` also copies bytes that the program never wrote. Those may be old bytes of an earlier
 * block, or of the heap itself, and the heap must not take them for a mark. */
static void *reallocates(void *seed) {
    enum { KEEP = 60 };
    char *p[KEEP] = { 0 };
    unsigned state = (unsigned)(uintptr_t)seed * 2654435761u;
    for (unsigned round = 0; !stop; round++) {
        int i = rnd(&state) % KEEP;
        size_t size = some_size(&state);
        if (round % 3 == 0) {
            p[i] = REALLOC(p[i], size + 1);
        } else {
            FREE(p[i]);
            p[i] = MALLOC(size + 1);
        }
        p[i][0] = p[i][size] = (char)i;
        if (round % 200 == 0)
            for (int k = 0; k < KEEP; k++) { FREE(p[k]); p[k] = NULL; }
    }
    for (int i = 0; i < KEEP; i++) FREE(p[i]);
    return NULL;
}
static void what_nobody_wrote_is_copied(void) {
    pthread_t threads[4];
    for (uintptr_t i = 0; i < 4; i++) CHECK(pthread_create(&threads[i], NULL, reallocates, (void *)(i + 1)) == 0);
    for (int i = 0; i < 400; i++) {
        usleep(1000);
        malloc_trim(0);
    }
    stop = 1;
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
}

static char long_lines[64];
static void *flushes(void *p) { for (;;) fflush(NULL); return p; }
static void *reads_lines(void *p) {
    for (;;) {
        FILE *file = fopen(long_lines, "r");
        if (!file) FAIL("not opened");
        char *line = NULL;
        size_t n = 0;
        while (getline(&line, &n, file) > 0) {}
        free(line);
        fclose(file);
    }
    return p;
}

/* `fork` takes the C library's lock of open files. A flush holds that lock while it waits for a
 * file whose reader reallocates a line. */
static void fork_while_files_are_flushed(void) {
    int fd = memfd_create("lines", 0);
    snprintf(long_lines, sizeof long_lines, "/proc/self/fd/%d", fd);
    static char line[2000000];
    memset(line, 'a', sizeof line);
    line[sizeof line - 1] = '\n';
    for (int i = 0; i < 3; i++)
        if (write(fd, line, sizeof line) != sizeof line) FAIL("not written");
    pthread_t thread;
    pthread_create(&thread, NULL, flushes, NULL);
    for (int i = 0; i < 2; i++) pthread_create(&thread, NULL, reads_lines, NULL);
    alarm(60);
    for (int i = 0; i < 60; i++) {
        pid_t child = fork();
        if (child == 0) { FREE(MALLOC(100)); _exit(0); }
        waitpid(child, NULL, 0);
    }
    _exit(0);
}

/* Case 57. Counts the bytes of private writable mappings, and of mappings that the system has
 * committed memory for. */
static void commitment(size_t *writable, size_t *promised) {
    FILE *maps = fopen("/proc/self/smaps", "r");
    CHECK(maps != NULL);
    char line[4096], rights[5];
    size_t from, to, bytes = 0;
    *writable = *promised = 0;
    while (fgets(line, sizeof line, maps)) {
        if (sscanf(line, "%zx-%zx %4s", &from, &to, rights) == 3) bytes = strncmp(rights, "rw-p", 5) ? 0 : to - from, *writable += bytes;
        else if (strncmp(line, "VmFlags:", 8) == 0 && strstr(line, " ac")) *promised += bytes;
    }
    fclose(maps);
}

/* The heap makes little more memory writable than it hands out. With overcommit, the system commits
 * no memory for it in advance. */
static void commits_what_it_needs(void) {
    enum { SMALL = 20000, LARGE = 100 };
    static char *p[SMALL + LARGE];
    size_t before, promised_before, after, promised_after;
    FREE(MALLOC(100));
    commitment(&before, &promised_before);
    for (int i = 0; i < SMALL; i++) p[i] = MALLOC(1000);
    for (int i = SMALL; i < SMALL + LARGE; i++) p[i] = MALLOC(1 << 20);
    commitment(&after, &promised_after);
    CHECK(after - before >= 100 << 20 && after - before < 240 << 20);
    char mode = '0';
    FILE *overcommit = fopen("/proc/sys/vm/overcommit_memory", "r");
    if (overcommit) fread(&mode, 1, 1, overcommit), fclose(overcommit);
    CHECK(mode == '2' || promised_after - promised_before < 1 << 20);
    for (int i = 0; i < SMALL + LARGE; i++) FREE(p[i]);
}

static const struct entry table[] = {
    { "commits_what_it_needs", commits_what_it_needs },
    { "frees_start_no_thread", frees_start_no_thread },
    { "what_nobody_wrote_is_copied", what_nobody_wrote_is_copied },
    { "fork_while_files_are_flushed", fork_while_files_are_flushed },
    { "limited", limited }, { "limits_itself", limits_itself }, { "mappings_used_up", mappings_used_up }, { "fork_under_load", fork_under_load },
    { "fork_from_handlers", fork_from_handlers }, { "vfork_and_spawn", vfork_and_spawn }, { "signals", signals },
    { "signals_that_keep_blocks", signals_that_keep_blocks }, { "signals_under_load", signals_under_load },
    { "blocks_outlive_threads", blocks_outlive_threads }, { "cancelled_threads", cancelled_threads },
    { "destructors_of_keys", destructors_of_keys }, { "exit_while_threads_run", exit_while_threads_run }, { "plugins", plugins },
    { "loaded_late", loaded_late }, { "little_stacks", little_stacks }, { "closed_standard_error", closed_standard_error },
    { "forbidden_calls", forbidden_calls }, { "foreign_blocks", foreign_blocks },
    { "no_register_keeps_a_mark", no_register_keeps_a_mark },
};

int main(int argc, char **argv) {
    plugin = argc > 2 ? argv[2] : NULL;
    return run_case(table, sizeof table / sizeof *table, argc, argv);
}
