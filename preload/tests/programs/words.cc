// Counts the words of a file. Compiling it takes much of the standard library; running it uses
// strings, maps and threads.
#include <algorithm>
#include <fstream>
#include <functional>
#include <future>
#include <iostream>
#include <map>
#include <memory>
#include <numeric>
#include <regex>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <variant>
#include <vector>

struct Node {
    std::string word;
    std::vector<std::shared_ptr<Node>> next;
};

static std::map<std::string, int> count(const std::string &text) {
    std::map<std::string, int> counts;
    static const std::regex word("[A-Za-z_]+");
    for (std::sregex_iterator at(text.begin(), text.end(), word), end; at != end; ++at) ++counts[at->str()];
    return counts;
}

int main(int argc, char **argv) {
    std::ifstream file(argv[argc - 1]);
    std::stringstream buffer;
    buffer << file.rdbuf();
    const std::string text = buffer.str();
    std::vector<std::future<std::map<std::string, int>>> parts;
    for (int i = 0; i < 4; ++i) parts.push_back(std::async(std::launch::async, count, text.substr(text.size() / 4 * i, text.size() / 4)));
    std::unordered_map<std::string, int> all;
    for (auto &part : parts)
        for (const auto &[word, times] : part.get()) all[word] += times;
    std::vector<std::pair<std::string, int>> order(all.begin(), all.end());
    std::sort(order.begin(), order.end(), [](const auto &a, const auto &b) { return a.second != b.second ? a.second > b.second : a.first < b.first; });
    for (size_t i = 0; i < std::min<size_t>(30, order.size()); ++i) std::cout << order[i].first << ' ' << order[i].second << '\n';
    auto root = std::make_shared<Node>();
    for (const auto &entry : order) {
        auto node = std::make_shared<Node>();
        node->word = entry.first + std::string(entry.second, '.');
        root->next.push_back(node);
    }
    std::variant<int, std::string> value = std::accumulate(order.begin(), order.end(), 0, [](int sum, const auto &entry) { return sum + entry.second; });
    std::cout << std::get<int>(value) << ' ' << root->next.size() << '\n';
    int caught = 0;
    for (int i = 0; i < 1000; ++i) {
        try {
            if (i % 2) throw std::runtime_error(std::string(i, 'x'));
            std::cout << std::get<std::string>(value);
        } catch (const std::exception &) {
            ++caught;
        }
    }
    std::cout << caught << '\n';
}
