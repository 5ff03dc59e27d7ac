/* Freed memory goes back to the system: while the program sleeps, and when the system refuses a
 * further thread. */
#include "case.h"
#include <dlfcn.h>
#include <fcntl.h>

/* The physical memory of the process, in MiB. Neither this function nor `wait_until` allocates. */
static long resident(void) {
    char text[128] = "";
    int fd = open("/proc/self/statm", O_RDONLY);
    if (fd < 0 || read(fd, text, sizeof text - 1) <= 0) FAIL("no statm");
    close(fd);
    long pages = 0;
    sscanf(text, "%*d %ld", &pages);
    return pages * sysconf(_SC_PAGESIZE) >> 20;
}

/* Returns once the process has less than `below` MiB. The test's watchdog ends a process that never
 * does. */
static void wait_until(long below) { while (resident() >= below) usleep(20000); }

static int threads(void) {
    char text[4096] = "";
    int fd = open("/proc/self/status", O_RDONLY);
    if (fd < 0 || read(fd, text, sizeof text - 1) <= 0) FAIL("no status");
    close(fd);
    return atoi(strstr(text, "Threads:") + 8);
}

enum { COUNT = 50000, SIZE = 2000, LARGE = 48 };
static char *blocks[COUNT], *large[LARGE];
static void fill(void) {
    for (int i = 0; i < COUNT; i++) memset(blocks[i] = MALLOC(SIZE), 1, SIZE);
    for (int i = 0; i < LARGE; i++) memset(large[i] = MALLOC(1 << 20), 1, 1 << 20);
}
static void empty(void) {
    for (int i = 0; i < COUNT; i++) FREE(blocks[i]);
    for (int i = 0; i < LARGE; i++) FREE(large[i]);
}

/* Nothing is allocated between the first free and the last check. By the second peak the background
 * thread sleeps, and must be woken. */
static void only_frees(void) {
    fill();
    CHECK(resident() > 130 && threads() == 2);
    empty();
    wait_until(64);
    int child = fork();
    if (child == 0) {
        CHECK(threads() == 1);
        fill();
        CHECK(threads() == 2);
        empty();
        wait_until(64);
        _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    sleep(4);
    fill();
    empty();
    wait_until(64);
    CHECK(threads() == 2);
}

/* The library calls this function too: the program's symbol precedes the C library's. */
static int refuse, asked;
int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*body)(void *), void *argument) {
    asked++;
    if (refuse) return EAGAIN;
    int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *) = dlsym(RTLD_NEXT, "pthread_create");
    return real(thread, attributes, body, argument);
}

/* Without a background thread, the program's own calls give memory back. The heap asks the system
 * for a thread again, but not in each call. */
static void refused_thread(void) {
    refuse = 1;
    fill();
    CHECK(asked >= 1 && asked < 100 && threads() == 1);
    empty();
    while (resident() >= 64) {
        for (int i = 0; i < 20; i++) memset(large[i] = MALLOC(1 << 20), 1, 1 << 20);
        for (int i = 0; i < 20; i++) FREE(large[i]);
        usleep(20000);
    }
    CHECK(threads() == 1);
    refuse = 0;
    do {
        fill();
        empty();
    } while (threads() == 1);
    /* The blocks in the cache of the program's own thread stay. */
    wait_until(110);
}

/* The pages of a program that locks its memory go back as well. */
static void locked(void) {
    struct rlimit all = { RLIM_INFINITY, RLIM_INFINITY };
    setrlimit(RLIMIT_MEMLOCK, &all);
    FREE(MALLOC(100));
    if (mlockall(MCL_CURRENT | MCL_FUTURE) != 0) {
        fprintf(stderr, "skipped: this user may not lock this much memory\n");
        return;
    }
    void *p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (madvise(p, 1 << 20, 24) != 0) {
        fprintf(stderr, "skipped: the kernel is older than 5.18\n");
        return;
    }
    fill();
    long full = resident();
    empty();
    /* The heap grows in advance, and locked memory is resident at once. So the process stays larger
     * than its blocks. */
    wait_until(full - 100);
    fill();
    empty();
    malloc_trim(0);
    if (resident() > full - 100) FAIL("%ld MiB of %ld", resident(), full);
}

static const struct entry table[] = {
    { "locked", locked },
    { "only_frees", only_frees },
    { "refused_thread", refused_thread },
};

int main(int argc, char **argv) { return run_case(table, sizeof table / sizeof *table, argc, argv); }
