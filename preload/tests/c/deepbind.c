/* Objects that a program loads with RTLD_DEEPBIND. They would find the C library's functions before
 * the preloaded ones. Built three times: as the object INNER; as OUTER, which loads INNER by its
 * name through OUTER's RUNPATH; and as the program. */
#include "case.h"
#include <dlfcn.h>

#if defined INNER
void drop(void *p) { free(p); }
void *make(size_t n) { return malloc(n); }
void *more(void *p, size_t n) { return realloc(p, n); }
char *copy(const char *text) { return strdup(text); }
#elif defined OUTER
void *open_inner(int mode) { return dlopen("deepbind-c", mode); }
void *open_inner_again(int mode) { return dlmopen(LM_ID_BASE, "deepbind-c", mode); }
#else
static const char *inner, *outer;

static void *get(void *object, const char *name) {
    void *found = object ? dlsym(object, name) : NULL;
    if (!found) FAIL("%s: %s", name, dlerror());
    return found;
}

static void pass_blocks(void *object) {
    void (*drop)(void *) = get(object, "drop");
    void *(*make)(size_t) = get(object, "make"), *(*more)(void *, size_t) = get(object, "more");
    char *(*copy)(const char *) = get(object, "copy");
    for (int i = 0; i < 10000; i++) {
        size_t n = i % 100 ? i % 3000 + 1 : i * 100 + 1;
        char *p = MALLOC(n), *q = hide(make(n)), *r = hide(more(MALLOC(n), n + 10)), *s = hide(copy("text"));
        p[n - 1] = q[n - 1] = r[n + 9] = 0;
        CHECK(malloc_usable_size(q) >= n);
        drop(hide(p));
        FREE(q);
        FREE(r);
        FREE(s);
        s = hide(copy("text"));
        drop(s);
    }
}

static void blocks_pass(void) {
    pass_blocks(dlopen(inner, RTLD_NOW | RTLD_DEEPBIND));
    pass_blocks(dlopen(inner, RTLD_LAZY | RTLD_GLOBAL | RTLD_DEEPBIND));
    pass_blocks(dlmopen(LM_ID_BASE, inner, RTLD_NOW | RTLD_DEEPBIND));
}

/* The loader identifies its caller by the return address. */
static void the_callers_path_counts(void) {
    CHECK(dlopen("deepbind-c", RTLD_NOW) == NULL && dlerror() != NULL);
    CHECK(dlmopen(LM_ID_BASE, "deepbind-c", RTLD_NOW) == NULL && dlerror() != NULL);
    void *object = dlopen(outer, RTLD_NOW | RTLD_DEEPBIND);
    void *(*open_inner)(int) = get(object, "open_inner"), *(*open_inner_again)(int) = get(object, "open_inner_again");
    pass_blocks(open_inner(RTLD_NOW | RTLD_DEEPBIND));
    pass_blocks(open_inner_again(RTLD_NOW | RTLD_DEEPBIND));
}

/* Another namespace has a separate C library, with a separate heap. */
static void namespaces(void) {
    void *object = dlmopen(LM_ID_NEWLM, inner, RTLD_NOW | RTLD_DEEPBIND);
    void (*drop)(void *) = get(object, "drop");
    void *(*make)(size_t) = get(object, "make");
    for (int i = 0; i < 1000; i++) drop(memset(make(i * 50 + 1), 1, i * 50 + 1));
}

/* The calls return the same results as the C library's. */
static void results(void) {
    CHECK(dlopen("/no/such/object.so", RTLD_NOW | RTLD_DEEPBIND) == NULL);
    const char *why = dlerror();
    CHECK(why && strstr(why, "/no/such/object.so"));
    CHECK(dlopen(NULL, RTLD_NOW) != NULL);
    CHECK(dlopen(inner, RTLD_NOW | RTLD_NOLOAD | RTLD_DEEPBIND) == NULL);
    void *object = dlopen(inner, RTLD_NOW | RTLD_DEEPBIND);
    CHECK(object && dlopen(inner, RTLD_NOW | RTLD_NOLOAD) == object);
    CHECK(dlclose(object) == 0 && dlclose(object) == 0);
    CHECK(dlopen(inner, RTLD_NOW | RTLD_NOLOAD) == NULL);
}

static const struct entry table[] = {
    { "blocks_pass", blocks_pass },
    { "the_callers_path_counts", the_callers_path_counts },
    { "namespaces", namespaces },
    { "results", results },
};

int main(int argc, char **argv) {
    if (argc < 4) return 2;
    inner = argv[2];
    outer = argv[3];
    return run_case(table, sizeof table / sizeof *table, argc, argv);
}
#endif
