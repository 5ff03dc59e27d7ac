/* A program that leaks in one function and churns in another, for the heap profiler. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

__attribute__((noinline)) void *leak_here(void) {
    char *block = malloc(1024);
    memset(block, 7, 1024);
    return block;
}

__attribute__((noinline)) void churn_here(void) {
    char *block = malloc(5000);
    block = realloc(block, 9000);
    memset(block, 1, 9000);
    free(block);
}

int main(int argc, char **argv) {
    static void *kept[10000];
    for (int i = 0; i < 10000; i++) {
        kept[i] = leak_here();
        churn_here();
    }
    puts("done");
    return kept[9999] == NULL;
}
