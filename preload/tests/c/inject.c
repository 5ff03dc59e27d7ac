/* Work during which system calls fail. Whichever call fails: an allocation returns null with
 * ENOMEM, every block keeps its content, and a realloc that fails leaves the old block unchanged.
 * The first argument names the work. */
#include "case.h"

enum { SLOTS = 64 };
static struct { unsigned char *p; size_t n; unsigned char fill; } slot[SLOTS];
static unsigned refused, made;

static void check_all(void) {
    for (int i = 0; i < SLOTS; i++)
        if (slot[i].p)
            for (size_t k = 0; k < slot[i].n; k += slot[i].n > 5000 ? 997 : 1)
                if (slot[i].p[k] != slot[i].fill) FAIL("block %d of %zu changed at %zu", i, slot[i].n, k);
}

static void fill(int i, unsigned char *p, size_t n) {
    slot[i].p = p;
    slot[i].n = n;
    slot[i].fill = (unsigned char)(i * 37 + ++made);
    memset(p, slot[i].fill, n);
}

/* Checks an allocation's result: a block, or null with ENOMEM, which it counts. */
static void *answer(void *p) {
    if (!p) {
        if (errno != ENOMEM) FAIL("null with errno %d", errno);
        refused++;
    }
    return p;
}

static void drop(int i) {
    errno = 99;
    FREE(slot[i].p);
    if (errno != 99) FAIL("free changed errno to %d", errno);
    slot[i].p = NULL;
}

static void put(int i, size_t n, int kind) {
    drop(i);
    errno = 0;
    unsigned char *p;
    switch (kind) {
    case 1:
        p = answer(CALLOC(1, n));
        for (size_t k = 0; p && k < n; k++)
            if (p[k]) FAIL("calloc of %zu is not zero at %zu", n, k);
        break;
    case 2: p = answer(hide(aligned_alloc(4096, hide_size(n)))); break;
    case 3: {
        void *q = (void *)77;
        int error = posix_memalign(&q, 64, hide_size(n));
        if (error && (error != ENOMEM || q != (void *)77)) FAIL("posix_memalign: %d %p", error, q);
        refused += error != 0;
        p = error ? NULL : q;
        break;
    }
    default: p = answer(MALLOC(n));
    }
    if (p) fill(i, p, n);
}

static void grow(int i, size_t n) {
    size_t old = slot[i].n, least = old < n ? old : n;
    errno = 0;
    unsigned char *p = answer(REALLOC(slot[i].p, n));
    if (!p) return;
    for (size_t k = 0; k < least; k += least > 5000 ? 997 : 1)
        if (p[k] != slot[i].fill) FAIL("realloc from %zu to %zu lost byte %zu", old, n, k);
    fill(i, p, n);
}

static void small(void) {
    for (int round = 0; round < 12; round++) {
        for (int i = 0; i < SLOTS; i++) put(i, (size_t)16 << (i + round) % 12, (i + round) % 4);
        check_all();
        void *many[400];
        for (int i = 0; i < 400; i++) many[i] = answer(MALLOC(3000));
        for (int i = 0; i < 400; i++) FREE(many[i]);
    }
}

static void large(void) {
    for (int round = 0; round < 8; round++) {
        for (int i = 0; i < 12; i++) put(i, ((size_t)70000 << (i + round) % 7) + i * 4096, (i + round) % 4);
        check_all();
        for (int i = 0; i < 12; i += 2) drop(i);
        malloc_trim(0);
    }
}

/* Blocks that grow into each other. */
static void growing(void) {
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 4; i++) put(i, 1000, 0);
        for (size_t n = 3000; n < (size_t)24 << 20; n = n * 3 / 2) {
            for (int i = 0; i < 4; i++)
                if (slot[i].p) grow(i, n + i * 10000);
            check_all();
        }
        for (size_t n = (size_t)12 << 20; n > 100; n /= 5)
            for (int i = 0; i < 4; i++)
                if (slot[i].p) grow(i, n);
        check_all();
    }
}

static void *thread_work(void *seed) {
    void *mine[50];
    for (int i = 0; i < 50; i++) mine[i] = answer(MALLOC(((size_t)seed * 50 + i) * 97 % 40000));
    for (int i = 0; i < 50; i += 2) { FREE(mine[i]); mine[i] = NULL; }
    for (int i = 1; i < 50; i += 2) FREE(mine[i]);
    return NULL;
}

static void threads(void) {
    for (size_t round = 0; round < 12; round++) {
        pthread_t thread;
        put(0, 100000, 0);
        if (pthread_create(&thread, NULL, thread_work, (void *)round) == 0) pthread_join(thread, NULL);
        else refused++;
        check_all();
        if (round % 4 == 0) malloc_trim(0);
    }
}

static const struct entry table[] = { { "small", small }, { "large", large }, { "growing", growing }, { "threads", threads } };

int main(int argc, char **argv) {
    run_case(table, sizeof table / sizeof *table, argc, argv);
    check_all();
    for (int i = 0; i < SLOTS; i++) drop(i);
    char line[64];
    int n = snprintf(line, sizeof line, "well, %s refused\n", refused ? "some" : "none");
    return write(1, line, n) != n;
}
