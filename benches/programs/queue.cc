// A queue of messages between threads: queue TIMES. Two threads make messages of strings, two read
// them, answer to a second queue, and drop them; the main thread gathers the answers.
#include <condition_variable>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <iostream>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

struct Message {
    std::string topic;
    std::vector<std::string> words;
    std::map<std::string, std::string> headers;
};

template <typename T> class Queue {
  public:
    explicit Queue(int makers) : makers(makers) {}

    void put(T item) {
        std::unique_lock lock(mutex);
        room.wait(lock, [this] { return items.size() < 1000; });
        items.push_back(std::move(item));
        filled.notify_one();
    }

    std::optional<T> take() {
        std::unique_lock lock(mutex);
        filled.wait(lock, [this] { return !items.empty() || makers == 0; });
        if (items.empty()) return std::nullopt;
        T item = std::move(items.front());
        items.pop_front();
        room.notify_one();
        return item;
    }

    void close() {
        std::lock_guard lock(mutex);
        --makers;
        filled.notify_all();
    }

  private:
    std::mutex mutex;
    std::condition_variable filled, room;
    std::deque<T> items;
    int makers;
};

static std::unique_ptr<Message> make(std::uint64_t seed) {
    auto message = std::make_unique<Message>();
    message->topic = "topic/" + std::to_string(seed % 97);
    for (std::uint64_t i = 0; i < 3 + seed % 9; ++i) message->words.push_back(std::string(5 + (seed * 7 + i * 31) % 120, char('a' + i)));
    for (std::uint64_t i = 0; i < seed % 4; ++i) message->headers["header-number-" + std::to_string(i)] = std::to_string(seed * i) + " is the value";
    return message;
}

int main(int argc, char **argv) {
    const std::uint64_t count = 20000 * std::strtoull(argc > 1 ? argv[1] : "1", nullptr, 10);
    Queue<std::unique_ptr<Message>> requests(2);
    Queue<std::pair<std::string, std::size_t>> answers(2);
    std::vector<std::thread> threads;
    for (std::uint64_t maker = 0; maker < 2; ++maker) {
        threads.emplace_back([&, maker] {
            for (std::uint64_t i = 0; i < count; ++i) requests.put(make(i * 2 + maker));
            requests.close();
        });
        threads.emplace_back([&] {
            while (auto message = requests.take()) {
                std::string all;
                for (const auto &word : (*message)->words) all += word + " ";
                for (const auto &[key, value] : (*message)->headers) all += key + "=" + value;
                answers.put({std::move((*message)->topic), all.size()});
            }
            answers.close();
        });
    }
    std::map<std::string, std::size_t> totals;
    while (auto answer = answers.take()) totals[answer->first] += answer->second;
    for (auto &thread : threads) thread.join();
    std::size_t sum = 0;
    for (const auto &[topic, size] : totals) sum += topic.size() * size;
    std::cout << totals.size() << ' ' << sum << '\n';
}
