/* Rounds of malloc and free, or of requests that no heap can serve, for callgrind to count. With
 * "none" the loop runs without calls, so that its cost can be subtracted. */
#include "case.h"

static __attribute__((noinline)) int refused(size_t n, size_t size) {
    for (size_t i = 0; i < n; i++)
        CHECK(MALLOC(size) == NULL && CALLOC(1, size) == NULL && hide(memalign(64, hide_size(size))) == NULL);
    return 0;
}

int main(int argc, char **argv) {
    size_t n = atol(argv[2]), size = atol(argv[3]);
    if (strcmp(argv[1], "refused") == 0) return refused(n, size);
    int heap = strcmp(argv[1], "heap") == 0;
    static char block[1 << 16];
    FREE(MALLOC(size));
    for (size_t i = 0; i < n; i++) {
        if (heap) FREE(MALLOC(size));
        else hide(hide(block + hide_size(size)));
    }
    return 0;
}
