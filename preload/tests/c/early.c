/* Case 70: early allocations, before the first constructor and in constructors. Also allocations
 * that the C library makes for itself: for keys beyond the 32nd, for handlers of fork and exit, and
 * for the loader's error texts. */
#include "case.h"
#include <dlfcn.h>

static char *early[2];
static char *block(size_t n) { return memset(MALLOC(n), 7, n); }

static void before_all(int argc, char **argv, char **environment) { early[0] = block(40000); }
__attribute__((section(".preinit_array"), used)) static void (*first)(int, char **, char **) = before_all;
__attribute__((constructor(101))) static void constructs(void) { early[1] = block(3000); }
__attribute__((destructor(101))) static void destructs(void) { FREE(early[1]); FREE(block(200)); }

static void *keys(void *unused) {
    pthread_key_t key[100];
    for (int i = 0; i < 100; i++) CHECK(pthread_key_create(&key[i], NULL) == 0 && pthread_setspecific(key[i], &key[i]) == 0);
    for (int i = 0; i < 100; i++) CHECK(pthread_getspecific(key[i]) == &key[i] && pthread_key_delete(key[i]) == 0);
    return unused;
}
static void nothing(void) {}

int main(void) {
    for (int i = 0; i < 3000; i++) CHECK(early[1][i] == 7);
    for (int i = 0; i < 40000; i++) CHECK(early[0][i] == 7);
    early[0] = REALLOC(early[0], 400000);
    CHECK(early[0] != NULL && early[0][39999] == 7);
    FREE(early[0]);
    /* The loader allocates a thread's first error text, and frees it when the thread ends. */
    CHECK(dlsym(RTLD_DEFAULT, "no such function") == NULL && dlerror() != NULL && dlopen("/no/such/library", RTLD_NOW) == NULL);
    for (int i = 0; i < 100; i++) CHECK(pthread_atfork(nothing, nothing, nothing) == 0 && atexit(nothing) == 0);
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, keys, NULL) == 0 && pthread_join(thread, NULL) == 0);
    keys(NULL);
    pid_t child = fork();
    if (child == 0) { FREE(block(100)); _exit(0); }
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    return 0;
}
