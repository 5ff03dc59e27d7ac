/* Each call against POSIX.1-2024, C23 and glibc's manual. */
#include "case.h"

#define HUGE_SIZES { (size_t)PTRDIFF_MAX, (size_t)PTRDIFF_MAX + 1, SIZE_MAX - 4096, SIZE_MAX - 15, SIZE_MAX }
static const size_t huge_sizes[] = HUGE_SIZES;
#define EACH_HUGE(n) for (size_t i_ = 0, n; i_ < sizeof huge_sizes / sizeof *huge_sizes && (n = huge_sizes[i_], 1); i_++)

/* glibc lacks these functions. */
__attribute__((weak)) void free_sized(void *, size_t), free_aligned_sized(void *, size_t, size_t), cfree(void *);

static void zero_bytes(void) {
    void *p[100];
    for (int i = 0; i < 100; i++) {
        p[i] = i % 2 ? MALLOC(0) : CALLOC(0, 8);
        CHECK(p[i] != NULL);
        for (int j = 0; j < i; j++) CHECK(p[i] != p[j]);
    }
    for (int i = 0; i < 100; i++) FREE(p[i]);
    void *q = CALLOC(8, 0);
    CHECK(q != NULL);
    FREE(q);
}

static void too_large(void) {
    EACH_HUGE(n) {
        errno = 0;
        CHECK(MALLOC(n) == NULL && errno == ENOMEM);
        errno = 0;
        CHECK(CALLOC(1, n) == NULL && errno == ENOMEM);
        errno = 0;
        CHECK(hide(memalign(64, hide_size(n))) == NULL && errno == ENOMEM);
        errno = 0;
        CHECK(hide(aligned_alloc(64, hide_size(n))) == NULL && errno == ENOMEM);
        errno = 0;
        CHECK(hide(valloc(hide_size(n))) == NULL && errno == ENOMEM);
        errno = 0;
        CHECK(hide(pvalloc(hide_size(n))) == NULL && errno == ENOMEM);
    }
    /* Sizes beyond the address space; some of them are below PTRDIFF_MAX. */
    void *small = MALLOC(100), *large = MALLOC(1 << 20);
    for (int shift = 47; shift < 64; shift++) {
        size_t n = (size_t)1 << shift;
        void *p[] = { MALLOC(n), CALLOC(n / 8, 8), REALLOC(small, n), REALLOC(large, n), hide(memalign(64, hide_size(n))),
            hide(aligned_alloc(65536, hide_size(n))), hide(valloc(hide_size(n))), hide(reallocarray(large, hide_size(n / 8), 8)),
            hide(aligned_alloc(hide_size(n), 100)) };
        for (size_t i = 0; i < sizeof p / sizeof *p; i++) CHECK(p[i] == NULL);
        errno = 0;
        CHECK(MALLOC(n) == NULL && errno == ENOMEM);
        errno = 0;
        CHECK(CALLOC(n, 1) == NULL && errno == ENOMEM);
        errno = 0;
        CHECK(REALLOC(large, n) == NULL && errno == ENOMEM);
        errno = 0;
        CHECK(hide(memalign(64, hide_size(n))) == NULL && errno == ENOMEM);
    }
    FREE(small);
    FREE(large);
}

static void overflowing_products(void) {
    size_t pairs[][2] = { { (size_t)1 << 63, 2 }, { (size_t)1 << 32, (size_t)1 << 32 }, { SIZE_MAX, 2 }, { 3, SIZE_MAX / 2 } };
    char *p = MALLOC(100);
    memset(p, 7, 100);
    for (int i = 0; i < 4; i++) {
        errno = 0;
        CHECK(CALLOC(pairs[i][0], pairs[i][1]) == NULL && errno == ENOMEM);
        errno = 0;
        CHECK(hide(reallocarray(p, hide_size(pairs[i][0]), hide_size(pairs[i][1]))) == NULL && errno == ENOMEM);
        errno = 0;
        CHECK(hide(reallocarray(NULL, hide_size(pairs[i][0]), hide_size(pairs[i][1]))) == NULL && errno == ENOMEM);
    }
    for (int i = 0; i < 100; i++) CHECK(p[i] == 7);
    p = hide(reallocarray(p, 50, 8));
    CHECK(p != NULL && malloc_usable_size(p) >= 400);
    for (int i = 0; i < 100; i++) CHECK(p[i] == 7);
    FREE(p);
}

static void realloc_null(void) {
    char *p = REALLOC(NULL, 100);
    CHECK(p != NULL);
    memset(p, 1, 100);
    FREE(p);
    p = REALLOC(NULL, 0);
    CHECK(p != NULL);
    FREE(p);
}

static void realloc_zero(void) {
    size_t sizes[] = { 1, 100, 5000, 100000, 10000000 };
    for (int i = 0; i < 5; i++) {
        void *p = MALLOC(sizes[i]);
        errno = 77;
        CHECK(REALLOC(p, 0) == NULL);
        CHECK(errno == 77);
    }
    /* The block is freed: many rounds do not make the process grow. */
    for (int i = 0; i < 2000; i++) REALLOC(MALLOC(1 << 20), 0);
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    CHECK(usage.ru_maxrss < 200 << 10);
}

static void realloc_failing(void) {
    size_t sizes[] = { 10, 3000, 40000, 3000000 };
    for (int i = 0; i < 4; i++) {
        unsigned char *p = MALLOC(sizes[i]);
        memset(p, 0x5a, sizes[i]);
        EACH_HUGE(n) {
            errno = 0;
            CHECK(REALLOC(p, n) == NULL && errno == ENOMEM);
        }
        for (size_t j = 0; j < sizes[i]; j++) CHECK(p[j] == 0x5a);
        p = REALLOC(p, sizes[i] * 2);
        CHECK(p != NULL && p[sizes[i] - 1] == 0x5a);
        FREE(p);
    }
}

/* Every change of size keeps the bytes that belong to both sizes. */
static void realloc_keeps(void) {
    size_t sizes[] = { 1, 16, 17, 100, 129, 1000, 1025, 4096, 20000, 32768, 32769, 65536, 200000, 1 << 20, 5 << 20, 40 << 20 };
    int count = sizeof sizes / sizeof *sizes;
    for (int i = 0; i < count; i++)
        for (int j = 0; j < count; j++) {
            unsigned char *p = MALLOC(sizes[i]);
            size_t least = sizes[i] < sizes[j] ? sizes[i] : sizes[j];
            for (size_t k = 0; k < sizes[i]; k += 61) p[k] = k * 7 + i;
            p[sizes[i] - 1] = 99;
            p = REALLOC(p, sizes[j]);
            CHECK(p != NULL && malloc_usable_size(p) >= sizes[j] && (uintptr_t)p % 16 == 0);
            for (size_t k = 0; k < least; k += 61)
                if (k != sizes[i] - 1) CHECK(p[k] == (unsigned char)(k * 7 + i));
            p[sizes[j] - 1] = 1;
            FREE(p);
        }
}

static void realloc_of_aligned(void) {
    size_t aligns[] = { 32, 64, 512, 4096, 8192, 65536, 2 << 20 };
    for (int i = 0; i < 7; i++)
        for (size_t n = 1; n < 300000; n = n * 3 + 1) {
            unsigned char *p = hide(aligned_alloc(aligns[i], n));
            CHECK(p != NULL && (uintptr_t)p % aligns[i] == 0);
            memset(p, 3, n);
            p = REALLOC(p, n * 2);
            for (size_t k = 0; k < n; k++) CHECK(p[k] == 3);
            memset(p, 4, n * 2);
            p = REALLOC(p, n / 2 + 1);
            for (size_t k = 0; k < n / 2 + 1; k++) CHECK(p[k] == 4);
            FREE(p);
        }
}

static void posix_memalign_bad(void) {
    size_t bad[] = { 0, 1, 2, 3, 4, 7, 12, 24, 100, 4095, 8 + 16, SIZE_MAX, (size_t)3 << 40 };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        void *p = (void *)0x1234;
        errno = 55;
        CHECK(posix_memalign(&p, hide_size(bad[i]), 8) == EINVAL);
        CHECK(p == (void *)0x1234 && errno == 55);
    }
}

static void posix_memalign_huge(void) {
    EACH_HUGE(n) {
        void *p = (void *)0x1234;
        errno = 55;
        CHECK(posix_memalign(&p, 64, hide_size(n)) == ENOMEM);
        /* POSIX does not specify errno here; glibc sets it. */
        CHECK(p == (void *)0x1234 && errno == ENOMEM);
    }
    errno = 55;
    void *p = (void *)0x1234;
    CHECK(posix_memalign(&p, hide_size((size_t)1 << 62), 100) == ENOMEM && p == (void *)0x1234);
    CHECK(posix_memalign(&p, hide_size((size_t)1 << 63), 1) == ENOMEM && p == (void *)0x1234);
    errno = 55;
    CHECK(posix_memalign(&p, 4096, 0) == 0 && p != NULL && (uintptr_t)p % 4096 == 0 && errno == 55);
    FREE(p);
}

void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t), *__libc_memalign(size_t, size_t);
void *__libc_valloc(size_t), *__libc_pvalloc(size_t);
void __libc_free(void *);
static void second_names(void) {
    for (size_t n = 1; n < 5000000; n = n * 3 + 5) {
        char *blocks[] = {
            hide(__libc_malloc(n)), hide(__libc_calloc(n, 1)), hide(__libc_realloc(NULL, n)), hide(__libc_memalign(64, n)),
            hide(__libc_valloc(n)), hide(__libc_pvalloc(n)), MALLOC(n),
        };
        enum { COUNT = sizeof blocks / sizeof *blocks };
        for (int i = 0; i < COUNT; i++) {
            CHECK(blocks[i] != NULL && malloc_usable_size(blocks[i]) >= n);
            memset(blocks[i], i + 1, n);
        }
        CHECK((uintptr_t)blocks[3] % 64 == 0 && (uintptr_t)blocks[4] % 4096 == 0 && (uintptr_t)blocks[5] % 4096 == 0);
        for (int i = 0; i < COUNT; i++) {
            CHECK(blocks[i][0] == i + 1 && blocks[i][n - 1] == i + 1);
            if (i % 3 == 0) blocks[i] = hide(__libc_realloc(blocks[i], 2 * n));
            else blocks[i] = REALLOC(blocks[i], 2 * n);
            CHECK(blocks[i][0] == i + 1 && blocks[i][n - 1] == i + 1);
            if (i % 2 == 0) FREE(blocks[i]);
            else __libc_free(hide(blocks[i]));
        }
    }
    errno = 0;
    CHECK(hide(__libc_memalign(64, hide_size(SIZE_MAX / 2))) == NULL && errno == ENOMEM);
}

static void aligned(void) {
    for (size_t align = 8; align <= (size_t)1 << 26; align *= 2)
        for (size_t n = 1; n <= 300000; n = n * 5 + 1) {
            void *p, *q = hide(aligned_alloc(align, n)), *r = hide(memalign(align, n));
            CHECK(posix_memalign(&p, align, n) == 0);
            CHECK((uintptr_t)p % align == 0 && (uintptr_t)q % align == 0 && (uintptr_t)r % align == 0);
            CHECK(p && q && r && malloc_usable_size(p) >= n && malloc_usable_size(q) >= n);
            memset(p, 1, n); memset(q, 2, n); memset(r, 3, n);
            FREE(p); FREE(r); FREE(q);
        }
}

static void aligned_alloc_bad(void) {
    errno = 0;
    CHECK(hide(aligned_alloc(hide_size(3), 8)) == NULL && errno == EINVAL);
    errno = 0;
    CHECK(hide(aligned_alloc(hide_size(0), 8)) == NULL && errno == EINVAL);
    errno = 0;
    CHECK(hide(aligned_alloc(hide_size((size_t)1 << 62), 8)) == NULL && errno == ENOMEM);
    /* As in C17, a size that is no multiple of the alignment is served. */
    char *p = hide(aligned_alloc(64, 100));
    CHECK(p != NULL && (uintptr_t)p % 64 == 0);
    memset(p, 1, 100);
    FREE(p);
}

static void memalign_rounds(void) {
    void *p = hide(memalign(hide_size(24), 100));
    CHECK(p != NULL && (uintptr_t)p % 32 == 0);
    FREE(p);
    errno = 0;
    CHECK(hide(memalign(hide_size(SIZE_MAX / 2 + 2), 100)) == NULL && errno == EINVAL);
}

static void page_aligned(void) {
    size_t page = sysconf(_SC_PAGESIZE);
    char *p = hide(valloc(1)), *q = hide(pvalloc(1)), *r = hide(pvalloc(0)), *s = hide(valloc(0));
    CHECK(p && q && r && s && (uintptr_t)p % page == 0 && (uintptr_t)q % page == 0 && (uintptr_t)r % page == 0);
    CHECK(malloc_usable_size(q) >= page);
    memset(q, 1, page);
    FREE(p); FREE(q); FREE(r); FREE(s);
}

static void every_size_is_aligned(void) {
    for (size_t n = 0; n < 40000; n += n < 2100 ? 1 : 61) {
        void *p = MALLOC(n), *q = CALLOC(1, n), *r = REALLOC(NULL, n);
        CHECK((uintptr_t)p % 16 == 0 && (uintptr_t)q % 16 == 0 && (uintptr_t)r % 16 == 0);
        FREE(p); FREE(q); FREE(r);
    }
}

static void usable_size(void) {
    CHECK(malloc_usable_size(NULL) == 0);
    for (size_t n = 0; n < 3000000; n = n * 5 / 4 + 1) {
        char *p = MALLOC(n), *q = MALLOC(n);
        size_t usable = malloc_usable_size(p);
        CHECK(usable >= n && usable <= n + n / 4 + 8192);
        /* The usable size of a large block is the request rounded up to 4 KiB. */
        if (n > 32768) CHECK(usable == (n + 4095) / 4096 * 4096);
        memset(q, 2, malloc_usable_size(q));
        memset(p, 1, usable);
        for (size_t k = 0; k < malloc_usable_size(q); k++) CHECK(q[k] == 2);
        CHECK(malloc_usable_size(p) == usable);
        FREE(p); FREE(q);
    }
}

static void calloc_zeroes(void) {
    for (int round = 0; round < 3; round++)
        for (size_t n = 1; n < 9000000; n = n * 3 / 2 + 1) {
            char *p = MALLOC(n);
            memset(p, 0xee, malloc_usable_size(p));
            FREE(p);
            p = CALLOC(n, 1);
            for (size_t k = 0; k < malloc_usable_size(p); k++) CHECK(p[k] == 0);
            memset(p, 0xdd, malloc_usable_size(p));
            FREE(p);
        }
    /* Blocks that are larger than their size says, because of their alignment. */
    char *row[21];
    for (int round = 0; round < 500; round++) {
        row[0] = memalign(2048, 253);
        memset(row[0], 0xee, malloc_usable_size(row[0]));
        for (int i = 1; i < 21; i++) {
            row[i] = CALLOC(1, 253);
            for (size_t k = 0; k < malloc_usable_size(row[i]); k++) CHECK(row[i][k] == 0);
            memset(row[i], 0xee, malloc_usable_size(row[i]));
        }
        for (int i = 0; i < 21; i++) FREE(row[i]);
    }
}

static void free_keeps_errno(void) {
    FREE(NULL);
    cfree(hide(NULL));
    size_t sizes[] = { 1, 100, 3000, 32768, 200000, 3 << 20, 100 << 20 };
    errno = 1234;
    for (int round = 0; round < 50; round++)
        for (int i = 0; i < 7; i++) {
            void *p[20];
            for (int j = 0; j < 20; j++) p[j] = MALLOC(sizes[i]);
            errno = 1234;
            for (int j = 0; j < 20; j++) FREE(p[j]);
            CHECK(errno == 1234);
        }
}

static void *first_free(void *p) {
    errno = 4321;
    FREE(p);
    CHECK(errno == 4321);
    return NULL;
}

/* The first call of a thread is a free: the thread gets its cache there. */
static void free_keeps_errno_in_a_new_thread(void) {
    for (int i = 0; i < 50; i++) {
        pthread_t thread;
        void *p = MALLOC(i % 2 ? 100 : 100000);
        CHECK(pthread_create(&thread, NULL, first_free, p) == 0);
        pthread_join(thread, NULL);
    }
}

static void sized_frees(void) {
    for (size_t n = 0; n < 3000000; n = n * 3 / 2 + 1) {
        free_sized(MALLOC(n), n);
        free_sized(CALLOC(1, n), n);
        free_aligned_sized(hide(aligned_alloc(64, n)), 64, n);
        free_aligned_sized(hide(aligned_alloc(65536, n)), 65536, n);
    }
    free_sized(NULL, 100);
    free_aligned_sized(NULL, 64, 100);
    cfree(MALLOC(10));
}

static void trim(void) {
    char *p[100];
    for (int i = 0; i < 100; i++) p[i] = memset(MALLOC(1 << 20), 1, 1 << 20);
    for (int i = 0; i < 100; i++) FREE(p[i]);
    CHECK(malloc_trim(0) == 1);
    /* Nothing is left to give. */
    CHECK(malloc_trim(0) == 0);
    FREE(MALLOC(100));
}

static void info(void) {
    char *keep = MALLOC(50 << 20);
    memset(keep, 1, 50 << 20);
    struct mallinfo2 a = mallinfo2();
    CHECK(a.uordblks >= 50 << 20 && a.uordblks + a.fordblks == a.arena);
    struct mallinfo old = mallinfo();
    CHECK(old.uordblks >= 50 << 20);
    FREE(keep);
    struct mallinfo2 b = mallinfo2();
    CHECK(b.uordblks <= a.uordblks - (50 << 20) + (64 << 10));
    CHECK(b.keepcost <= b.fordblks);
    CHECK(mallopt(M_MMAP_THRESHOLD, 1 << 20) == 1 && mallopt(12345, 1) == 0);
}

static void *passes_on(void *unused) {
    FREE(MALLOC(32));
    return MALLOC(32);
}

/* Each thread leaves one block behind, which this thread frees. Afterwards less than one byte per
 * thread counts as in use, and the threads' memory goes back. */
static void threads_come_and_go(void) {
    enum { THREADS = 8000 };
    pthread_t thread;
    void *block;
    struct mallinfo2 before = { 0 };
    for (int i = 0; i < THREADS; i++) {
        if (i == 10) before = mallinfo2();
        CHECK(pthread_create(&thread, NULL, passes_on, NULL) == 0);
        CHECK(pthread_join(thread, &block) == 0);
        FREE(block);
    }
    struct mallinfo2 after = mallinfo2();
    if (after.uordblks > before.uordblks + THREADS) FAIL("%zu bytes in use, then %zu", before.uordblks, after.uordblks);
    malloc_trim(0);
    after = mallinfo2();
    if (after.arena > before.arena + (64 << 10)) FAIL("%zu bytes of memory, then %zu", before.arena, after.arena);
    CHECK(after.uordblks <= before.uordblks);
}

/* Writes the XML to standard output; the test checks it. */
static void info_xml(void) {
    void *small[100], *large = MALLOC(1 << 20);
    for (int i = 0; i < 100; i++) small[i] = MALLOC(48);
    errno = 0;
    CHECK(malloc_info(1, stdout) != 0);
    CHECK(malloc_info(0, stdout) == 0);
    FREE(large);
    for (int i = 0; i < 100; i++) FREE(small[i]);
    malloc_stats();
}

/* Checks that the first two words of `p` are none that the library wrote to an earlier block there:
 * no link to another free block (the first word) and no mark of a free block (the second). The
 * program filled the earlier blocks with 0xee. */
static void check_fresh(void *p) {
    uintptr_t *word = p;
    CHECK(word[0] == 0 || word[0] == UINTPTR_MAX / 255 * 0xee);
    CHECK(word[1] == 0);
}

static void forgets_marks_and_links(void) {
    static void *p[4000];
    static const size_t sizes[] = { 16, 24, 100, 1000, 5000, 30000 };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t n = sizes[i], count = n < 5000 ? 4000 : 400;
        for (int round = 0; round < 3; round++) {
            for (size_t j = 0; j < count; j++) {
                p[j] = MALLOC(n);
                check_fresh(p[j]);
                memset(p[j], 0xee, n);
            }
            for (size_t j = 0; j < count; j++) FREE(p[j]);
        }
        for (size_t j = 0; j < count; j++) {
            p[j] = hide(memalign(64, n));
            check_fresh(p[j]);
        }
        for (size_t j = 0; j < count; j++) FREE(p[j]);
    }
    /* Large blocks in memory that had small blocks before; then in runs that the thread keeps, and
     * in pages that were given back. */
    malloc_trim(0);
    static const size_t large[] = { 33000, 40000, 100000, 300000, 1 << 20, 3 << 20, 5 << 20, 20 << 20 };
    for (size_t i = 0; i < sizeof large / sizeof *large; i++)
        for (int round = 0; round < 4; round++) {
            size_t n = large[i] + round;
            for (size_t j = 0; j < 8; j++) {
                p[j] = j % 2 ? hide(memalign(65536, n)) : MALLOC(n);
                uintptr_t *word = p[j];
                CHECK(word[0] == 0 && word[1] == 0);
                memset(p[j], 0xee, n);
            }
            for (size_t j = 0; j < 8; j++) FREE(p[j]);
            /* A block that grows keeps its content; its other bytes are as in a new block. */
            void *grown = MALLOC(30000);
            check_fresh(grown);
            grown = REALLOC(grown, n);
            check_fresh(grown);
            memset(grown, 0xee, n);
            FREE(grown);
        }
}

static int in_child(void (*run)(void)) {
    pid_t child = fork();
    if (child == 0) {
        run();
        _exit(0);
    }
    int status;
    waitpid(child, &status, 0);
    return status;
}

static void realloc_keeps_usable(void) {
    static const size_t sizes[] = { 20, 1000, 30000, 33001, 300001, 5000001 };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char *p = MALLOC(sizes[i]);
        size_t usable = malloc_usable_size(p);
        memset(p, 7, usable);
        p = REALLOC(p, 3 * usable);
        CHECK(p != NULL);
        for (size_t j = 0; j < usable; j++) CHECK(p[j] == 7);
        FREE(p);
    }
    char *p = NULL;
    CHECK(posix_memalign((void **)&p, 65536, 100) == 0);
    size_t usable = malloc_usable_size(p);
    memset(p, 7, usable);
    p = REALLOC(p, 4096);
    for (size_t j = 0; j < usable && j < 4096; j++) CHECK(p[j] == 7);
    FREE(p);
}

/* If much free memory is idle, a block that outgrows the small sizes moves there at once, and not
 * first to a free run that it just fits. */
static void realloc_moves_once(void) {
    char *small[40];
    for (int i = 0; i < 40; i++) small[i] = memset(MALLOC(36000), 1, 36000);
    FREE(memset(MALLOC(8 << 20), 1, 8 << 20));
    for (int i = 0; i < 40; i += 2) FREE(small[i]);
    char *p = MALLOC(30000), *old;
    memset(p, 5, 30000);
    int moves = 0;
    for (size_t n = 34000; n < 500000; n += 4000) {
        old = p;
        p = REALLOC(p, n);
        CHECK(p != NULL);
        moves += p != old;
        for (int i = 0; i < 30000; i += 100) CHECK(p[i] == 5);
    }
    CHECK(moves == 1);
    FREE(p);
    for (int i = 1; i < 40; i += 2) FREE(small[i]);
}

static const struct entry table[] = {
    { "blocks_of_glibcs_second_names_are_blocks_of_this_heap", second_names },
    { "realloc_of_what_outgrows_the_small_sizes_moves_it_once", realloc_moves_once },
    { "malloc_and_calloc_of_zero_bytes_give_unique_blocks", zero_bytes },
    { "sizes_beyond_ptrdiff_max_give_enomem", too_large },
    { "overflowing_products_give_enomem_and_keep_the_block", overflowing_products },
    { "realloc_of_null_is_malloc", realloc_null },
    { "realloc_to_zero_bytes_frees_and_gives_null", realloc_zero },
    { "realloc_that_fails_keeps_the_block", realloc_failing },
    { "realloc_keeps_what_both_sizes_hold", realloc_keeps },
    { "realloc_takes_aligned_blocks", realloc_of_aligned },
    { "realloc_keeps_all_that_usable_size_reports", realloc_keeps_usable },
    { "posix_memalign_with_a_bad_alignment_gives_einval_and_leaves_the_pointer_alone", posix_memalign_bad },
    { "posix_memalign_without_memory_gives_enomem_and_leaves_the_pointer_alone", posix_memalign_huge },
    { "alignments_from_8_bytes_to_64_mib_are_kept", aligned },
    { "aligned_alloc_with_a_bad_alignment_gives_einval", aligned_alloc_bad },
    { "memalign_rounds_its_alignment_up", memalign_rounds },
    { "valloc_and_pvalloc_give_whole_pages", page_aligned },
    { "every_size_is_aligned_to_16_bytes", every_size_is_aligned },
    { "all_that_usable_size_reports_may_be_written", usable_size },
    { "no_block_begins_with_what_an_earlier_one_left", forgets_marks_and_links },
    { "calloc_zeroes_all_that_usable_size_reports", calloc_zeroes },
    { "free_keeps_errno_and_accepts_null", free_keeps_errno },
    { "free_keeps_errno_as_a_threads_first_call", free_keeps_errno_in_a_new_thread },
    { "sized_frees_take_the_sizes_that_were_asked_for", sized_frees },
    { "malloc_trim_tells_whether_memory_went_back", trim },
    { "mallinfo_counts_what_is_in_use", info },
    { "mallinfo_counts_nothing_of_threads_that_have_ended", threads_come_and_go },
    { "malloc_info_writes_xml_and_malloc_stats_a_table", info_xml },
};

int main(int argc, char **argv) {
    size_t count = sizeof table / sizeof *table;
    if (argc > 2 && strcmp(argv[2], "forked") == 0) {
        FREE(MALLOC(100));
        for (size_t i = 0; i < count; i++)
            if (strcmp(table[i].name, argv[1]) == 0) return in_child(table[i].run) != 0;
    }
    return run_case(table, count, argc, argv);
}
