/* Wrong frees, by their number in the catalogue of bad input. Each case makes one mistake and then
 * goes on like a program that did not notice: it allocates, looks for blocks that overlap, and lets
 * a thread end. A case that reaches its end prints "unnoticed"; a case in which two live blocks
 * share memory prints "shared". */
#include "case.h"
#include <signal.h>

void free_sized(void *, size_t) __attribute__((weak));
void free_aligned_sized(void *, size_t, size_t) __attribute__((weak));

static size_t size = 64;
static char *volatile victim;

static void *ends(void *p) {
    for (int i = 0; i < 100; i++) FREE(MALLOC(size));
    return NULL;
}

static int overlap(char *a, char *b, size_t n) { return a < b + n && b < a + n; }

/* Acts as a program does after its mistake, and ends the process. */
static void go_on(size_t n) {
    enum { COUNT = 3000 };
    static char *p[COUNT];
    int count = n > 100000 ? 20 : COUNT;
    for (int i = 0; i < count; i++) {
        p[i] = MALLOC(n);
        if (!p[i]) FAIL("null");
        memset(p[i], i, n);
    }
    if (count < COUNT)
        for (int i = 0; i < count; i++)
            for (int j = 0; j < i; j++)
                if (overlap(p[i], p[j], n)) puts("shared"), fflush(stdout);
    for (int i = 0; i < count; i++)
        for (size_t k = 0; k < n; k++)
            if (p[i][k] != (char)i) { puts("shared"); fflush(stdout); _exit(4); }
    for (int i = 0; i < count; i++) FREE(p[i]);
    pthread_t thread;
    pthread_create(&thread, NULL, ends, NULL);
    pthread_join(thread, NULL);
    for (int i = 0; i < count; i++) FREE(MALLOC(n));
    puts("unnoticed");
    fflush(stdout);
    _exit(3);
}

static void *free_it(void *p) { FREE(p); return NULL; }
static void in_thread(void *(*run)(void *), void *p) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, run, p)) FAIL("no thread");
    pthread_join(thread, NULL);
}

static void c01(void) { char *p = MALLOC(64); FREE(p); FREE(p); go_on(64); }
static void c02(void) { char *a = MALLOC(64), *b = MALLOC(64); FREE(a); FREE(b); FREE(a); go_on(64); }
static void c03(void) {
    char *a = MALLOC(64), *keep[1000];
    FREE(a);
    for (int i = 0; i < 1000; i++) keep[i] = MALLOC(200);
    for (int i = 0; i < 1000; i++) FREE(keep[i]);
    FREE(a);
    go_on(64);
}
static void c04(void) { char *p = MALLOC(64); in_thread(free_it, p); FREE(p); go_on(64); }
static void c05(void) { char *p = MALLOC(64); FREE(p); in_thread(free_it, p); go_on(64); }
static void c06(void) { char *p = MALLOC(64); in_thread(free_it, p); in_thread(free_it, p); go_on(64); }

static pthread_barrier_t barrier;
static void *free_together(void *p) {
    FREE(MALLOC(size));
    pthread_barrier_wait(&barrier);
    FREE(p);
    return NULL;
}
static void together(size_t n) {
    size = n;
    for (int round = 0; round < 20; round++) {
        pthread_barrier_init(&barrier, NULL, 2);
        char *p = MALLOC(n);
        pthread_t a, b;
        pthread_create(&a, NULL, free_together, p);
        pthread_create(&b, NULL, free_together, p);
        pthread_join(a, NULL);
        pthread_join(b, NULL);
        char *q = MALLOC(n), *r = MALLOC(n);
        if (q == r) { puts("shared"); _exit(4); }
    }
    go_on(n);
}
static void c07(void) { together(64); }
static void c07_large(void) { together(256 << 10); }

static void twice(size_t n) { char *p = MALLOC(n); memset(p, 1, n); FREE(p); FREE(p); go_on(n); }
static void c08(void) { twice(32 << 10); }
static void c09(void) { twice(256 << 10); }
static void c10(void) { twice(8 << 20); }
static void c11(void) { twice(64 << 20); }
static void c12(void) { char *p = MALLOC(64); FREE(p + 16); go_on(64); }
static void c12_of_48(void) { size = 48; char *p = MALLOC(48); FREE(p + 16); go_on(48); }
static void c13(void) { char *p = MALLOC(64); FREE(p + 1); go_on(64); }
static void c14(void) { char *p = MALLOC(256 << 10); FREE(p + 4096); go_on(256 << 10); }
static void c14_far(void) { char *p = MALLOC(256 << 10); FREE(p + 65536); go_on(256 << 10); }
static void c15(void) { char *p = MALLOC(256 << 10); FREE(p + 16); go_on(256 << 10); }
static void c16(void) { char p[256] __attribute__((aligned(64))); FREE(MALLOC(64)); FREE(p + 64); go_on(64); }
static char of_program[4096] __attribute__((aligned(64)));
static void c17(void) { FREE(MALLOC(64)); FREE(of_program + 64); go_on(64); }
static void c18(void) { FREE(MALLOC(64)); FREE((char *)0x123456780); go_on(64); }
static void c19(void) {
    char *p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    FREE(MALLOC(64));
    FREE(p + 65536);
    go_on(64);
}
static void c20(void) { FREE(MALLOC(64)); FREE((char *)0xdeadbeefdeadbee0); go_on(64); }
static void c21(void) { char *p = MALLOC(64); FREE(p); p = REALLOC(p, 100); go_on(64); }
static void c21_same(void) { char *p = MALLOC(64); FREE(p); p = REALLOC(p, 60); go_on(64); }
static void c21_large(void) { char *p = MALLOC(1 << 20); FREE(p); p = REALLOC(p, 2 << 20); go_on(64); }
static void c22(void) {
    char *p = MALLOC(64);
    FREE(p);
    size_t n = malloc_usable_size(p);
    if (n != 0 && n != 64) FAIL("%zu", n);
    char *q = MALLOC(1 << 20);
    FREE(q);
    n = malloc_usable_size(q);
    if (n != 0) FAIL("%zu", n);
    puts("well");
}
static void c23(void) { char *p = hide(memalign(64, 64)); FREE(p - 16); go_on(64); }
static void c24(void) { char *p = MALLOC(64), *q; MALLOC(64); q = REALLOC(p, 5000); if (q != p) FREE(p); go_on(64); }
static void c25(void) { char *p = MALLOC(64); FREE(p); FREE(p); FREE(p); go_on(64); }

/* Writes beyond the end of a block: the heap keeps nothing there that could be damaged. */
static void c26(void) {
    char *p[100];
    for (int i = 0; i < 100; i++) p[i] = MALLOC(64);
    memset(p[50], 7, 72);
    for (int i = 0; i < 100; i++) FREE(p[i]);
    puts("well");
}
static void c27(void) { char *p = MALLOC(100000); p[malloc_usable_size(p)] = 0; FREE(p); puts("well"); }
static void c28(void) {
    char *p[100];
    for (int i = 0; i < 100; i++) p[i] = MALLOC(64);
    memset(p[50] - 8, 7, 8);
    for (int i = 0; i < 100; i++) FREE(p[i]);
    puts("well");
}
static void c29(void) {
    char *p = MALLOC(64);
    FREE(p);
    memset(p, 0x41, 48);
    go_on(64);
}
/* Overwrites the link in a free block, in the thread's bin or already in its span, with the address
 * of the attacker's memory. */
static void c30(void) {
    static uintptr_t target[64] __attribute__((aligned(64)));
    char *p = MALLOC(64);
    FREE(p);
    for (int i = 0; i < 8; i++) ((uintptr_t *)p)[i] = (uintptr_t)target;
    for (int i = 0; i < 3000; i++)
        if (MALLOC(64) == (void *)target) { puts("shared"); _exit(4); }
    go_on(64);
}
static void c30_in_span(void) {
    static uintptr_t target[64] __attribute__((aligned(64)));
    enum { COUNT = 5000 };
    static char *p[COUNT];
    for (int i = 0; i < COUNT; i++) p[i] = MALLOC(64);
    for (int i = 0; i < COUNT; i++) FREE(p[i]);
    /* Only the first word, where a list keeps its link. */
    for (int i = 0; i < COUNT; i++) *(uintptr_t *)p[i] = (uintptr_t)target;
    for (int i = 0; i < 3 * COUNT; i++)
        if (MALLOC(64) == (void *)target) { puts("shared"); _exit(4); }
    go_on(64);
}
/* The same, with the address of a block in use. */
static void c30_to_live(void) {
    enum { COUNT = 5000 };
    static char *p[COUNT];
    for (int i = 0; i < COUNT; i++) p[i] = MALLOC(64);
    char *live = p[COUNT / 2];
    memset(live, 0x22, 64);
    for (int i = 0; i < COUNT; i++) if (p[i] != live) FREE(p[i]);
    for (int i = 0; i < COUNT; i++) if (p[i] != live) *(char **)p[i] = live;
    for (int i = 0; i < 3 * COUNT; i++)
        if (MALLOC(64) == (void *)live) { puts("shared"); _exit(4); }
    go_on(64);
}
/* Overwrites the free blocks behind their first two words, where a list may keep the places of
 * other blocks. */
static void leaves(void) {
    enum { COUNT = 5000 };
    static char *p[COUNT];
    for (int i = 0; i < COUNT; i++) p[i] = MALLOC(64);
    for (int i = 0; i < COUNT; i++) FREE(p[i]);
    for (int i = 0; i < COUNT; i++) memset(p[i] + 16, 0, 48);
    go_on(64);
}
static void c31(void) {
    char *p[200];
    for (int i = 0; i < 200; i++) p[i] = MALLOC(64);
    for (int i = 0; i < 200; i += 2) FREE(p[i]);
    memset(p[101], 0x43, 64 * 8);
    go_on(64);
}
static void c34_size(void) { free_sized(MALLOC(100), 5000); go_on(64); }
static void c34_large(void) { free_sized(MALLOC(100000), 50000); go_on(64); }
static void c34_align(void) {
    for (int i = 0; i < 20; i++) {
        char *p = MALLOC(80);
        if ((uintptr_t)p % 4096) { free_aligned_sized(p, 4096, 80); break; }
    }
    go_on(64);
}
/* Frees a block that was never handed out. */
static void in_span(void) { char *p = MALLOC(64); FREE((char *)((uintptr_t)p & ~(uintptr_t)8191) + 8192 - 64); go_on(64); }
/* Overwrites the mark of a free block, and frees the block again. */
static void written_and_freed(void) {
    char *p = MALLOC(64);
    FREE(p);
    memset(p, 0x41, 64);
    FREE(p);
    go_on(64);
}
static void of_a_span_that_ended(void) {
    enum { COUNT = 4000 };
    static char *p[COUNT];
    for (int i = 0; i < COUNT; i++) p[i] = MALLOC(3000);
    for (int i = 0; i < COUNT; i++) FREE(p[i]);
    malloc_trim(0);
    FREE(p[COUNT / 2]);
    go_on(3000);
}
static void after_flush(void) {
    enum { COUNT = 4000 };
    static char *p[COUNT];
    for (int i = 0; i < COUNT; i++) p[i] = MALLOC(64);
    for (int i = 0; i < COUNT - 50; i++) FREE(p[i]);
    FREE(p[10]);
    go_on(64);
}

/* Frees the old address of a large block that realloc moved. */
static void c24_large(void) {
    char *p = MALLOC(36000), *behind = MALLOC(36000), *q = REALLOC(p, 72000);
    (void)behind;
    if (q == p) FAIL("not moved");
    FREE(p);
    go_on(36000);
}
/* The slot above the bin's last block still contains the address of the same block. */
static void where_it_was(void) {
    char *x = MALLOC(64), *y = MALLOC(64);
    FREE(x);
    char *z = MALLOC(64);
    FREE(z);
    FREE(z);
    (void)y;
    go_on(64);
}
/* Frees a block that was never handed out, in the part of the span that the heap carves later. The
 * block is used after that. */
static void not_yet_carved(void) {
    FREE(MALLOC(64));
    char *p = MALLOC(64);
    FREE(p + 64 * 65);
    memset(MALLOC(64), 1, 64);
    go_on(64);
}

/* Frees an address behind the last block of a span that is shorter than others of its class: in the
 * same page as the last block, and where the next block would be. */
static void behind_the_last(void) {
    enum { COUNT = 40, SIZE = 1152 };
    char *p[COUNT];
    FREE(MALLOC(SIZE));
    for (int i = 0; i < COUNT; i++) p[i] = MALLOC(SIZE);
    for (int i = 0; i < COUNT; i++) {
        char *next = p[i] + SIZE;
        int held = ((uintptr_t)next ^ (uintptr_t)p[i]) >> 13 || ((uintptr_t)next & 8191) + SIZE <= 8192;
        for (int j = 0; j < COUNT; j++) held |= p[j] == next;
        if (held) continue;
        FREE(next);
        go_on(SIZE);
    }
    FAIL("no short span");
}

static const struct entry table[] = {
    { "c01", c01 }, { "c02", c02 }, { "c03", c03 }, { "c04", c04 }, { "c05", c05 }, { "c06", c06 }, { "c07", c07 },
    { "c07_large", c07_large }, { "c08", c08 }, { "c09", c09 }, { "c10", c10 }, { "c11", c11 }, { "c12", c12 },
    { "c12_of_48", c12_of_48 }, { "c13", c13 }, { "c14", c14 }, { "c14_far", c14_far }, { "c15", c15 }, { "c16", c16 }, { "c17", c17 }, { "c18", c18 }, { "c19", c19 }, { "c20", c20 }, { "c21", c21 },
    { "c21_same", c21_same }, { "c21_large", c21_large }, { "c22", c22 }, { "c23", c23 }, { "c24", c24 }, { "c25", c25 }, { "c26", c26 },
    { "c27", c27 }, { "c28", c28 }, { "c29", c29 }, { "c30", c30 }, { "c30_in_span", c30_in_span }, { "c30_to_live", c30_to_live },
    { "c31", c31 }, { "c34_size", c34_size }, { "c34_large", c34_large }, { "c34_align", c34_align }, { "in_span", in_span },
    { "written_and_freed", written_and_freed }, { "of_a_span_that_ended", of_a_span_that_ended }, { "after_flush", after_flush },
    { "c24_large", c24_large }, { "where_it_was", where_it_was }, { "not_yet_carved", not_yet_carved },
    { "behind_the_last", behind_the_last }, { "leaves", leaves },
};

int main(int argc, char **argv) { return run_case(table, sizeof table / sizeof *table, argc, argv); }
