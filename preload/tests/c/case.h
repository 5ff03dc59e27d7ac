/* Shared by the test programs: a table of cases; the program's first argument selects one. A case
 * fails by FAIL or by a signal. */
#ifndef CASE_H
#define CASE_H

#define _GNU_SOURCE
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

struct entry {
    const char *name;
    void (*run)(void);
};

#define FAIL(...) (fprintf(stderr, "%s:%d: ", __func__, __LINE__), fprintf(stderr, __VA_ARGS__), fputc('\n', stderr), _exit(1))
#define CHECK(what) do { if (!(what)) FAIL("%s", #what); } while (0)

/* Hides a value from the compiler, which knows malloc and would remove calls. */
static inline void *hide(void *p) { __asm__ volatile("" : "+r"(p) : : "memory"); return p; }
static inline size_t hide_size(size_t n) { __asm__ volatile("" : "+r"(n) : : "memory"); return n; }

#define MALLOC(n) hide(malloc(hide_size(n)))
#define CALLOC(n, m) hide(calloc(hide_size(n), hide_size(m)))
#define REALLOC(p, n) hide(realloc(hide(p), hide_size(n)))
#define FREE(p) free(hide(p))

static inline int run_case(const struct entry *table, size_t count, int argc, char **argv) {
    for (size_t i = 0; i < count; i++)
        if (argc > 1 && strcmp(table[i].name, argv[1]) == 0) {
            table[i].run();
            return 0;
        }
    fprintf(stderr, "no case %s\n", argc > 1 ? argv[1] : "");
    return 2;
}

#endif
