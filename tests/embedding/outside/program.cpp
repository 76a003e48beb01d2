// Somebody else's program in C++: program LOCATION_OF_A_HUB HOME; prints the configuration's path.
#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>
#include <tenon.h>

namespace {

struct Free {
    void operator()(tenon_context *context) const { tenon_context_free(context); }
    void operator()(tenon_hub *hub) const { tenon_hub_free(hub); }
    void operator()(tenon_task *task) const { tenon_task_free(task); }
};

template <typename Handle> using Owned = std::unique_ptr<Handle, Free>;

void check(tenon_status status)
{
    if (status < 0)
        throw std::runtime_error(tenon_status_name(status));
}

std::string download(const char *location, const std::string &home)
{
    const std::string setting = "home=" + home;
    const char *const settings[] = { setting.c_str(), nullptr };
    tenon_context_options options = {};
    tenon_context *context = nullptr;
    tenon_hub *hub = nullptr;
    tenon_task *task = nullptr;
    const char *path = nullptr;

    options.struct_size = sizeof options;
    options.settings = settings;
    check(tenon_context_open(&options, &context));
    const Owned<tenon_context> owned_context(context);
    check(tenon_hub_open(context, location, nullptr, &hub));
    const Owned<tenon_hub> owned_hub(hub);
    check(tenon_hub_download(hub, "tenon/tiny", "config.json", nullptr, &task));
    const Owned<tenon_task> owned_task(task);
    check(tenon_task_wait(task, -1));
    check(tenon_task_text(task, &path));
    return path;
}

}

int main(int count, char **words)
{
    try {
        if (count != 3)
            throw std::invalid_argument("LOCATION HOME");
        std::cout << download(words[1], words[2]) << '\n';
        return 0;
    } catch (const std::exception &error) {
        std::cerr << error.what() << '\n';
        return 1;
    }
}
