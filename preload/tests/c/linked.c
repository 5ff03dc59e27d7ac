/* A program linked with the library: each function that greyspan.h declares exists and works. */
#include "../../greyspan.h"
#include "case.h"

static void functions(void) {
    CHECK(greyspan_version()[0] >= '0' && greyspan_version()[0] <= '9');
    char *keep = MALLOC(3 << 20), text[16], *whole;
    memset(keep, 1, 3 << 20);
    size_t length = greyspan_stats_json(NULL, 0);
    CHECK(length > 100 && greyspan_stats_json(text, sizeof text) > sizeof text && strlen(text) == sizeof text - 1);
    whole = MALLOC(length + 1000);
    CHECK(greyspan_stats_json(whole, length + 1000) < length + 1000 && whole[0] == '{' && strstr(whole, "\"heap_inuse\":") && strstr(whole, "\"has_served\":1,"));
    FREE(whole);
    FREE(keep);
    CHECK(greyspan_purge() > 0);
    greyspan_thread_idle();
    greyspan_set_memory_limit(100 << 20);
    greyspan_set_memory_limit(0);
    errno = 0;
    CHECK(greyspan_heap_profile("/dev/null") == -1 && errno == ENODATA);
    CHECK(greyspan_profile_start(1) == 0);
    void *sampled = MALLOC(100);
    greyspan_profile_stop();
    FREE(sampled);
    CHECK(greyspan_heap_profile("/dev/null") == 0);
    CHECK(greyspan_heap_profile("/no/such/folder/p") == -1 && errno == ENOENT);
    CHECK(greyspan_heap_profile(NULL) == -1 && errno == EFAULT);
    CHECK(greyspan_profile_start(0) == 0);
    greyspan_profile_stop();
    free_sized(MALLOC(100), 100);
    free_aligned_sized(aligned_alloc(64, 128), 64, 128);
}

static void who(void) {
    FREE(MALLOC(100));
    printf("%d\n", (int)geteuid());
}

static const struct entry table[] = { { "functions", functions }, { "who", who } };

int main(int argc, char **argv) { return run_case(table, sizeof table / sizeof *table, argc, argv); }
