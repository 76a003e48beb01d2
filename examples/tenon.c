/*
 * tenon: the command-line tool, and the largest example of how the library is used. It sees nothing but tenon.h.
 *
 *   tenon.c            the table of commands, and main
 *   tool/arguments     reads the command line and prints the help, from the table and from one table of options
 *   tool/tool          errors and exit statuses, Ctrl-C, the progress of a task
 *   tool/terminal      safe text, numbers in words, bars, lines redrawn in place; tool/chart the curve, tool/json --json
 *   tool/download ...  the commands
 */
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tool/tool.h"

enum { WORKERS = 4 }; /* threads for the hashing and writing of large files; nothing else starts any */

const struct command commands[] = {
    { "download", command_download, 1, 10000, "REPO [FILE...]", "fetch a repository, or some of its files",
      "Fetches a repository, or only the files that are named, into the cache that the official tools use, and prints\n"
      "the path alone on standard output. What is there already is not fetched again, and a download that was broken off\n"
      "goes on where it was. REPO is owner/name, datasets/owner/name, or the address of a page of the hub; @REVISION may\n"
      "stand behind it.",
      "revision include exclude local-dir force offline fresh cached",
      "  tenon download google/gemma-2-2b-it --include '*.json' --include '*.safetensors'\n"
      "  tenon download openai-community/gpt2 config.json model.safetensors\n" },
    { "info", command_info, 1, 1, "REPO", "what a hub knows of a repository, and its files",
      "Shows what a repository is, whether a licence must be accepted, and its files with their sizes.",
      "revision offline fresh cached",
      "  tenon info google/gemma-2-2b-it\n"
      "  tenon info datasets/HuggingFaceFW/fineweb@main --json\n" },
    { "publish", command_publish, 2, 2, "REPO FOLDER", "publish a folder as a new commit",
      "Publishes the files of a folder as a commit and prints the commit. This version publishes to file: hubs, that is to\n"
      "folders of repositories. Files that the folder has not stay as they are.",
      "message branch parent include exclude",
      "  tenon publish --hub file:///srv/models acme/small ./output\n"
      "  tenon publish --hub file:///srv/models acme/small ./output --message 'Train longer' --exclude '*.log'\n" },
    { "cache", command_cache, 0, 2, "[ls [REPO] | verify [REPO] | rm REPO[@REVISION]]", "what the cache holds, whether it is sound, and giving it back",
      "Shows what the cache holds, whoever put it there; reads it and compares it with the hashes it is named by; or\n"
      "removes a repository or one revision of it. Nothing is asked of the hub.",
      "revision",
      "  tenon cache\n"
      "  tenon cache verify google/gemma-2-2b-it\n"
      "  tenon cache rm google/gemma-2-2b-it\n" },
    { "plan", command_plan, 1, 1, "MODEL", "which hardware a model fits, and why",
      "Sizes a model from its headers alone, some kilobytes of any model, and shows for each accelerator within reach, best\n"
      "first, what it needs of the memory there. MODEL is a repository, or a folder or file on this machine. Without --context\n"
      "it counts with 4096 tokens, or what the model has if less. Planning spends nothing. The exit status is 6 when it fits\n"
      "nowhere.",
      "train lora context sequences on revision file",
      "  tenon plan meta-llama/Llama-2-7b-hf --lora\n"
      "  tenon plan ./model.gguf --context 32768 --on local:cpu\n" },
    { "train", command_train, 1, 1, "RECIPE", "train a model and watch its loss",
      "Runs a recipe (a JSON file that names a command) as a job and shows its loss until it ends. The job goes on without\n"
      "this program: Ctrl-C only stops watching, and tells how to go on watching or to stop the job. Where standard output\n"
      "is no terminal it gets one line for each measurement.",
      "model data output on name key detach env label time-limit memory-limit threads context sequences revision",
      "  tenon train examples/workload/train.json --model tenon/tiny --output ./trained\n"
      "  tenon train recipe.json --model google/gemma-2-2b --data ./text --time-limit 2h --detach\n" },
    { "serve", command_serve, 0, 1, "[MODEL]", "serve a model and talk to it",
      "Starts a server for a model, waits until it answers, and prints the id of its job and its address. Without a recipe an\n"
      "engine that knows the model is taken: llama-server for GGUF files, vllm for safetensors. It offers all the context that\n"
      "the model was trained for, unless --context says less. It shows the server's log and stops the server on Ctrl-C; with\n"
      "--detach the server stays until `tenon stop`.",
      "recipe file on port context sequences detach data output name key env label time-limit memory-limit threads revision",
      "  tenon serve ggml-org/gemma-3-1b-it-GGUF --context 8192\n"
      "  tenon serve ./trained --recipe examples/workload/serve.json --detach\n" },
    { "ps", command_ps, 0, 0, "", "list jobs",
      "Lists the jobs that run; with --all those that have ended too. Where a command wants a JOB, it takes the id, the\n"
      "beginning of an id, or a name, as long as it means one job, or one that runs.",
      "all label",
      "  tenon ps\n"
      "  tenon ps --all --json\n" },
    { "logs", command_logs, 1, 1, "JOB", "what a job has written",
      "Prints what a job's processes wrote to standard output and standard error.",
      "follow lines",
      "  tenon logs tiny -n 20\n"
      "  tenon logs -f 3f2a\n" },
    { "metrics", command_metrics, 1, 1, "JOB", "the loss of a training job",
      "Draws the loss of a training job, or prints one line for each measurement where standard output is no terminal.",
      "follow lines",
      "  tenon metrics -f tiny\n"
      "  tenon metrics tiny --json | jq .loss\n" },
    { "chat", command_chat, 1, 2, "JOB_OR_ADDRESS [QUESTION]", "talk to a served model",
      "Asks a question and prints the answer as it comes. Without a question it is a conversation, or the question is read\n"
      "from standard input where that is no terminal. An address is that of any server that speaks OpenAI's chat protocol, up\n"
      "to and including its version; a key for it is taken from the environment variable TENON_API_KEY.",
      "system max-tokens temperature model",
      "  tenon chat tiny 'What is a tenon?'\n"
      "  tenon chat http://127.0.0.1:8000/v1 --system 'Answer in one sentence.' < question.txt\n" },
    { "key", command_key, 1, 1, "JOB", "the key of a served model, for other clients",
      "Prints the key that a server wants from its clients. `tenon chat` and tenon's library know it by themselves; any other\n"
      "client that speaks OpenAI's protocol wants it beside the address, which `tenon ps` shows: OPENAI_API_KEY=$(tenon key tiny).",
      "",
      "  tenon key tiny\n"
      "  tenon key 3f2a --json\n" },
    { "stop", command_stop, 1, 10000, "JOB...", "stop jobs",
      "Asks a job's processes to end, ends them after a grace, and waits until they are gone.",
      "now",
      "  tenon stop tiny\n"
      "  tenon stop --now 3f2a 9c11\n" },
    { "rm", command_rm, 1, 10000, "JOB...", "forget jobs that have ended",
      "Removes what is left of a job: its state, its log, and its output where that was not given a folder of its own.",
      "",
      "  tenon rm tiny\n"
      "  tenon rm 3f2a 9c11\n" },
    { "doctor", command_doctor, 0, 0, "", "check hub, cache, hardware and jobs",
      "Checks what will be needed before it is needed, and says for each thing that is not well what to do. The exit status is\n"
      "1 when something is not well.",
      "on",
      "  tenon doctor\n"
      "  tenon doctor --hub https://hub.example.org --json\n" },
    { "settings", command_settings, 0, 1, "[KEY]", "the settings and their values",
      "Lists the settings with the values in force and the environment variables they are read from. With a KEY it prints the\n"
      "value alone. A setting is changed for one command with --setting KEY=VALUE.",
      "markdown",
      "  tenon settings\n"
      "  tenon settings hub.cache\n" },
    { NULL, NULL, 0, 0, NULL, NULL, NULL, NULL, NULL },
};

static void write_log(void *user, const tenon_log_record *record)
{
    struct screen *err = user;

    screen_erase(err);
    fprintf(err->file, "[%s] ", record->component);
    put_text(err->file, record->text);
    fputc('\n', err->file);
}

/* Settings are made one by one, because only a context that is open can say what is wrong with one. */
static int apply_setting(struct tool *tool, const char *pair)
{
    size_t length = strcspn(pair, "=");
    char *key = malloc(length + 1);
    int status = EXIT_OK;

    if (key == NULL)
        return fail_memory(tool);
    memcpy(key, pair, length);
    key[length] = '\0';
    if (tenon_context_set(tool->context, key, pair + length + 1) != TENON_OK)
        status = fail_context(tool);
    free(key);
    return status;
}

static int open_context(struct tool *tool)
{
    static const int32_t levels[] = { TENON_LOG_WARNING, TENON_LOG_INFO, TENON_LOG_DEBUG };
    const struct arguments *arguments = &tool->arguments;
    tenon_logger logger = { .struct_size = sizeof logger, .user = &tool->err, .write = write_log };
    tenon_context_options options = { .struct_size = sizeof options, .logger = &logger, .workers = WORKERS };
    int status = EXIT_OK;

    logger.level = arguments->quiet ? TENON_LOG_ERROR : levels[arguments->verbose < 2 ? arguments->verbose : 2];
    if (tenon_context_open(&options, &tool->context) != TENON_OK)
        return fail_memory(tool);
    for (const char **pair = arguments->settings; *pair != NULL && status == EXIT_OK; pair++)
        status = apply_setting(tool, *pair);
    if (status == EXIT_OK && arguments->hub != NULL && tenon_context_set(tool->context, "hub.endpoint", arguments->hub) != TENON_OK)
        status = fail_context(tool);
    return status;
}

static int run(struct tool *tool)
{
    int status = open_context(tool);

    if (status == EXIT_OK)
        status = tool->command->run(tool);
    tenon_hub_free(tool->hub);
    tenon_context_free(tool->context);
    return status;
}

int main(int count, char **words)
{
    struct tool tool = { 0 };
    int status;

    setlocale(LC_CTYPE, "");
    screen_open(&tool.out, stdout);
    screen_open(&tool.err, stderr);
    status = arguments_read(&tool, count, words);
    if (status == EXIT_OK && tool.arguments.version)
        printf("tenon %s\n", tenon_version());
    else if (status == EXIT_OK && tool.arguments.help)
        help_print(tool.command);
    else if (status == EXIT_OK)
        status = run(&tool);
    arguments_clear(&tool.arguments);
    if (fflush(stdout) != 0 && status == EXIT_OK)
        status = EXIT_FAILED;
    return status;
}
