// C++'s operators `new` and `delete`: failures, new-handlers, exceptions that pass through, and
// calls during the end of a thread.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#define CHECK(what) do { if (!(what)) { std::fprintf(stderr, "%d: %s\n", __LINE__, #what); std::_Exit(1); } } while (0)

static void *hide(void *p) { __asm__ volatile("" : "+r"(p) : : "memory"); return p; }
static const size_t huge = static_cast<size_t>(PTRDIFF_MAX) - 100;

static void failing_new_throws() {
    int caught = 0;
    for (int i = 0; i < 100; i++) {
        try { hide(::operator new(huge)); } catch (const std::bad_alloc &) { caught++; }
        try { hide(::operator new[](huge)); } catch (const std::bad_alloc &) { caught++; }
        try { hide(::operator new(huge, std::align_val_t(64))); } catch (const std::bad_alloc &) { caught++; }
        try { hide(::operator new[](huge, std::align_val_t(4096))); } catch (const std::bad_alloc &) { caught++; }
    }
    CHECK(caught == 400);
}

static void failing_nothrow_new_gives_null() {
    CHECK(hide(::operator new(huge, std::nothrow)) == nullptr);
    CHECK(hide(::operator new[](huge, std::nothrow)) == nullptr);
    CHECK(hide(::operator new(huge, std::align_val_t(64), std::nothrow)) == nullptr);
    CHECK(hide(::operator new[](huge, std::align_val_t(64), std::nothrow)) == nullptr);
}

static int asked;
static void handler() { if (++asked == 3) std::set_new_handler(nullptr); }
static void throwing_handler() { throw std::bad_alloc(); }
static void new_handlers_are_called() {
    std::set_new_handler(handler);
    bool caught = false;
    try { hide(::operator new(huge)); } catch (const std::bad_alloc &) { caught = true; }
    CHECK(caught && asked == 3);
    std::set_new_handler(throwing_handler);
    CHECK(hide(::operator new(huge, std::nothrow)) == nullptr);
    CHECK(hide(::operator new[](huge, std::align_val_t(64), std::nothrow)) == nullptr);
    caught = false;
    try { hide(::operator new(huge)); } catch (const std::bad_alloc &) { caught = true; }
    CHECK(caught);
}

static void all_forms_pair_up() {
    for (size_t n = 0; n < 3000000; n = n * 3 / 2 + 1) {
        ::operator delete(std::memset(hide(::operator new(n)), 1, n));
        ::operator delete(hide(::operator new(n)), n);
        ::operator delete[](hide(::operator new[](n)), n);
        ::operator delete(hide(::operator new(n, std::nothrow)), std::nothrow);
        ::operator delete[](hide(::operator new[](n, std::nothrow)), std::nothrow);
        for (size_t align = 16; align <= 65536; align *= 8) {
            void *p = hide(::operator new(n, std::align_val_t(align)));
            CHECK(reinterpret_cast<uintptr_t>(p) % align == 0);
            ::operator delete(p, n, std::align_val_t(align));
            p = hide(::operator new[](n, std::align_val_t(align), std::nothrow));
            CHECK(reinterpret_cast<uintptr_t>(p) % align == 0);
            ::operator delete[](p, std::align_val_t(align), std::nothrow);
        }
    }
    ::operator delete(nullptr);
    void *a = hide(::operator new(0)), *b = hide(::operator new(0));
    CHECK(a && b && a != b);
    ::operator delete(a);
    ::operator delete(b);
}

static void deep(int n) {
    std::string text(n * 10, 'x');
    if (n == 0) throw std::runtime_error(text + "thrown");
    std::vector<int> numbers(n, n);
    deep(n - 1);
    CHECK(numbers.size() == size_t(n));
}
static void exceptions_pass() {
    for (int i = 0; i < 2000; i++) {
        bool caught = false;
        try { deep(i % 30); } catch (const std::runtime_error &error) { caught = std::strstr(error.what(), "thrown") != nullptr; }
        CHECK(caught);
    }
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; t++) threads.emplace_back([] { for (int i = 0; i < 500; i++) try { deep(10); } catch (...) {} });
    for (auto &thread : threads) thread.join();
}

// Case 66: thread-locals whose destructors allocate and free, before and after the heap's own hook.
struct Keeps {
    std::string *text = new std::string(500, 'k');
    std::vector<std::string> more{100, std::string(40, 'm')};
    ~Keeps() {
        delete text;
        std::vector<std::string> last;
        for (int i = 0; i < 200; i++) last.emplace_back(i * 10, 'l');
    }
};
static thread_local Keeps keeps;
static void thread_locals_end_well() {
    for (int i = 0; i < 300; i++) std::thread([] { CHECK(keeps.text->size() == 500); }).join();
}
static Keeps of_program;

int main(int argc, char **argv) {
    struct { const char *name; void (*run)(); } table[] = {
        { "failing_new_throws", failing_new_throws }, { "failing_nothrow_new_gives_null", failing_nothrow_new_gives_null },
        { "new_handlers_are_called", new_handlers_are_called }, { "all_forms_pair_up", all_forms_pair_up },
        { "exceptions_pass", exceptions_pass }, { "thread_locals_end_well", thread_locals_end_well },
    };
    for (const auto &entry : table)
        if (argc > 1 && std::string(entry.name) == argv[1]) { entry.run(); return 0; }
    return 2;
}
