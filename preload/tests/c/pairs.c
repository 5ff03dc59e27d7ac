/* Rounds of malloc and free, or of requests that cannot be served, to be counted by callgrind: what they cost beyond the loop itself. */
#include "case.h"
int main(int argc, char **argv) {
    size_t n = atol(argv[2]), size = atol(argv[3]);
    int heap = strcmp(argv[1], "heap") == 0, refused = strcmp(argv[1], "refused") == 0;
    static char block[1 << 16];
    FREE(MALLOC(size));
    for (size_t i = 0; i < n; i++) {
        if (heap) FREE(MALLOC(size));
        else if (refused) CHECK(MALLOC(size) == NULL && CALLOC(1, size) == NULL && hide(memalign(64, hide_size(size))) == NULL);
        else hide(hide(block + hide_size(size)));
    }
    return 0;
}
