/* A program locks itself into memory as a user who may lock 8 MiB, a usual limit. The heap must not
 * take so much that locking fails. */
#include "case.h"

static void locks_itself(void) {
    struct rlimit limit = { (size_t)8 << 20, (size_t)8 << 20 };
    CHECK(setrlimit(RLIMIT_MEMLOCK, &limit) == 0);
    char *p = MALLOC(100);
    CHECK(p != NULL && (getuid() != 0 || setuid(65534) == 0));
    CHECK(mlockall(MCL_CURRENT) == 0);
    for (size_t n = 1; n < 100000; n *= 2) {
        p = REALLOC(p, n);
        CHECK(p != NULL);
        memset(p, 1, n);
    }
    FREE(p);
}

static const struct entry table[] = { { "locks_itself", locks_itself } };

int main(int argc, char **argv) { return run_case(table, sizeof table / sizeof *table, argc, argv); }
