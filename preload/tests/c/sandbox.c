/* Programs that confine themselves, or start confined. The filter allows the system calls of
 * allocators and kills the process for any other call. Starting a thread and looking for a filter
 * are such calls. */
#include "case.h"
#include <dirent.h>
#include <signal.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

static char **names;

static const int memory_calls[] = {
    SYS_brk, SYS_mmap, SYS_munmap, SYS_mremap, SYS_mprotect, SYS_madvise, SYS_read, SYS_write, SYS_exit, SYS_exit_group,
    SYS_clock_gettime, SYS_clock_nanosleep,
};
/* The system calls that load a program. */
static const int loader_calls[] = {
    SYS_execve, SYS_openat, SYS_open, SYS_close, SYS_pread64, SYS_fstat, SYS_newfstatat, SYS_access, SYS_arch_prctl, SYS_set_tid_address,
    SYS_set_robust_list, SYS_rseq, SYS_prlimit64, SYS_getrandom, SYS_readlink, SYS_uname, SYS_statfs, SYS_futex,
};

enum { MOST = 2 * 40 + 2 };
static struct sock_filter code[MOST];
static struct sock_fprog filter = { 0, code };
static void allow(const int *calls, size_t count) {
    for (size_t i = 0; i < count; i++) {
        code[filter.len++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, calls[i], 0, 1);
        code[filter.len++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    }
}
static void make_filter(int loads) {
    filter.len = 0;
    code[filter.len++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    allow(memory_calls, sizeof memory_calls / sizeof *memory_calls);
    if (loads) allow(loader_calls, sizeof loader_calls / sizeof *loader_calls);
    code[filter.len++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
}

/* Grows the heap and lets it shrink, with small blocks, large blocks and one that grows. Then ends
 * the process: the filter allows no further calls. */
enum { COUNT = 40000, LARGE = 60 };
static void *blocks[COUNT], *large[LARGE];
static void work(void) {
    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < COUNT; i++) memset(blocks[i] = MALLOC(1000 + i % 3), 1, 1000);
        for (int i = 0; i < LARGE; i++) memset(large[i] = MALLOC((1 << 20) + i * 4096), 1, 1 << 20);
        for (int i = 0; i < COUNT; i++) FREE(blocks[i]);
        for (int i = 0; i < LARGE; i++) FREE(large[i]);
        char *grown = MALLOC(1000);
        for (size_t n = 1000; n < 50000000; n *= 2) {
            grown = REALLOC(grown, n);
            grown[n - 1] = 1;
        }
        FREE(grown);
        struct timespec pause = { 0, 300000000 };
        nanosleep(&pause, NULL);
    }
    write(1, "well\n", 5);
    _exit(0);
}

static void small_start(void) { FREE(MALLOC(100)); }
/* After this the heap has its background thread. The filter applies to every thread, so the heap
 * must end that thread before the filter is installed. */
static void large_start(void) {
    for (int i = 0; i < LARGE; i++) memset(large[i] = MALLOC(1 << 20), 1, 1 << 20);
    for (int i = 0; i < LARGE; i++) FREE(large[i]);
}

static void by_prctl(void) {
    small_start();
    make_filter(0);
    CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0);
    work();
}
static void by_syscall(void) {
    large_start();
    make_filter(0);
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &filter) != 0) {
        CHECK(syscall(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
        CHECK(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &filter) == 0);
    }
    work();
}
/* The library does not see the call that installs the filter. */
static void unseen(void) {
    large_start();
    make_filter(0);
    CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    long result = SYS_seccomp;
    __asm__ volatile("syscall" : "+a"(result) : "D"((long)SECCOMP_SET_MODE_FILTER), "S"((long)SECCOMP_FILTER_FLAG_TSYNC), "d"(&filter)
                     : "rcx", "r11", "memory");
    CHECK(result == 0);
    work();
}
static void inherited(void) {
    make_filter(1);
    CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0);
    names[1] = "work";
    execv(names[0], names);
    FAIL("not started");
}
static void forked(void) {
    small_start();
    make_filter(0);
    CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    pid_t child = fork();
    if (child == 0) {
        CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0);
        work();
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
}

/* In strict mode a thread can only read, write and end. Free memory still serves requests; after
 * that they are refused, and the process lives. */
static void strict(void) {
    large_start();
    enum { FEW = 1000 };
    static void *p[FEW];
    for (int i = 0; i < FEW; i++) p[i] = MALLOC(64);
    for (int i = 0; i < LARGE; i++) memset(large[i] = MALLOC(1 << 20), 1, 1 << 20);
    CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) == 0);
    for (int i = 0; i < LARGE; i++) FREE(large[i]);
    for (int round = 0; round < 100; round++) {
        for (int i = 0; i < FEW; i++) FREE(p[i]);
        for (int i = 0; i < FEW; i++) p[i] = MALLOC(64);
    }
    int served = 0;
    while (served < 1 << 20 && MALLOC(1 << 20) != NULL) served++;
    if (served == 1 << 20 || errno != ENOMEM) write(1, "memory from nowhere\n", 20);
    else write(1, "well\n", 5);
    syscall(SYS_exit, 0);
}

/* Programs make such calls to learn which features the kernel has. A call that fails does not put
 * the heap into strict mode. */
static void probes(void) {
    errno = 0;
    CHECK(syscall(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 1, NULL) == -1 && errno == EINVAL);
    large_start();
    char *p = MALLOC(64 << 20);
    CHECK(p != NULL);
    memset(p, 1, 64 << 20);
    FREE(p);
    write(1, "well\n", 5);
}

static int has_thread(void) {
    int tasks = 0;
    DIR *folder = opendir("/proc/self/task");
    CHECK(folder != NULL);
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) tasks += entry->d_name[0] != '.';
    closedir(folder);
    return tasks > 1;
}
static void child_ends_well(pid_t child) {
    int status;
    CHECK(child > 0 && waitpid(child, &status, 0) == child && status == 0);
}
/* A child made without the fork hooks has no background thread to wait for, and leaves the parent's
 * thread alone. */
static void children_without_hooks(void) {
    large_start();
    for (int i = 0; i < 200 && !has_thread(); i++) usleep(10000);
    CHECK(has_thread());
    pid_t child = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (child == 0) {
        CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
        _exit(0);
    }
    child_ends_well(child);
    child = vfork();
    if (child == 0) {
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        _exit(0);
    }
    child_ends_well(child);
    CHECK(has_thread());
    write(1, "well\n", 5);
}

/* Strict mode applies to one thread: the others go on. */
static volatile int is_strict;
static void *in_strict_mode(void *p) {
    FREE(MALLOC(100));
    CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) == 0);
    is_strict = 1;
    syscall(SYS_exit, 0);
    return p;
}
static void strict_thread(void) {
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, in_strict_mode, NULL) == 0);
    while (!is_strict) usleep(1000);
    for (int i = 0; i < 100; i++) {
        char *p = MALLOC(10 << 20);
        CHECK(p != NULL);
        memset(p, 1, 10 << 20);
    }
    write(1, "well\n", 5);
    _exit(0);
}

/* The two functions return the same results as the C library's. */
static void functions(void) {
    char name[16];
    CHECK(prctl(PR_SET_NAME, "a name") == 0 && prctl(PR_GET_NAME, name) == 0 && strcmp(name, "a name") == 0);
    errno = 0;
    CHECK(prctl(-1, 0, 0, 0, 0) == -1 && errno == EINVAL);
    CHECK(syscall(SYS_getpid) == getpid());
    errno = 0;
    CHECK(syscall(SYS_close, -1) == -1 && errno == EBADF);
    /* Six arguments. */
    char *page = (char *)syscall(SYS_mmap, NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK((long)page > 0);
    page[0] = 1;
    CHECK(syscall(SYS_munmap, page, 4096) == 0);
    write(1, "well\n", 5);
}

static const struct entry table[] = {
    { "by_prctl", by_prctl }, { "by_syscall", by_syscall }, { "unseen", unseen }, { "inherited", inherited }, { "work", work },
    { "probes", probes }, { "children_without_hooks", children_without_hooks }, { "strict_thread", strict_thread },
    { "forked", forked }, { "strict", strict }, { "functions", functions },
};

int main(int argc, char **argv) {
    names = argv;
    return run_case(table, sizeof table / sizeof *table, argc, argv);
}
