#include "explain.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>

#include "path.h"

enum { WORDS_LIMIT = 16000, MESSAGE_BYTES = 1000 };

/* ---- what a log says ---- */

static bool says(const char *lines, const char *const *words)
{
    bool found = false;

    for (; *words != NULL && !found; words++)
        found = strstr(lines, *words) != NULL;
    return found;
}

static const char *const memory_words[] = {
    "MemoryError", "std::bad_alloc", "annot allocate memory", "OutOfMemoryError", "out of memory", "CUDA_ERROR_OUT_OF_MEMORY",
    "RESOURCE_EXHAUSTED: Out of memory", "failed to allocate buffer", "unable to allocate backend buffer", NULL,
};

static const char *const disk_words[] = { "No space left on device", "Disk quota exceeded", NULL };

static const char *const port_words[] = {
    "ddress already in use", "EADDRINUSE", "couldn't bind HTTP server socket", "couldn't bind to server socket", NULL,
};

/* As llama.cpp and the safetensors library say it. */
static const char *const model_words[] = { "error loading model", "SafetensorError", NULL };

static const char *const module_words[] = { "ModuleNotFoundError", "ImportError", NULL };

bool tn_says_port_taken(const char *lines)
{
    return says(lines, port_words);
}

/* Where a line begins to say what is wrong with the model; NULL where it does not. */
static const char *model_trouble(const char *line, size_t length)
{
    const char *found = NULL;

    for (const char *const *words = model_words; *words != NULL && found == NULL; words++) {
        found = strstr(line, *words);
        if (found != NULL && found >= line + length)
            found = NULL;
    }
    return found;
}

/* Adds the last line that says something; what is wrong with a model stands further up in an engine's log. */
static void add_last_words(struct text *out, const char *lines)
{
    const char *words = "", *trouble = NULL;
    size_t length = 0;

    while (*lines != '\0') {
        size_t line = strcspn(lines, "\n");
        const char *found = model_trouble(lines, line);

        if (found != NULL || (trouble == NULL && strspn(lines, " \t^~") < line)) {
            trouble = found != NULL ? found : trouble;
            words = found != NULL ? found : lines;
            length = (size_t)(lines + line - words);
        }
        lines += line + (lines[line] == '\n');
    }
    if (length > 0) {
        tn_text_add(out, ": ");
        tn_text_add_n(out, words, length);
    }
}

/* ---- what is said of it ---- */

static const char *name_of_signal(int32_t number)
{
    static const struct {
        int number;
        const char *name;
    } names[] = {
        { SIGHUP, "SIGHUP" }, { SIGINT, "SIGINT" }, { SIGQUIT, "SIGQUIT" }, { SIGILL, "SIGILL, an illegal instruction" },
        { SIGABRT, "SIGABRT" }, { SIGBUS, "SIGBUS, a bus error" }, { SIGFPE, "SIGFPE, an arithmetic error" },
        { SIGKILL, "SIGKILL" }, { SIGSEGV, "SIGSEGV, a bad memory access" }, { SIGPIPE, "SIGPIPE" }, { SIGTERM, "SIGTERM" },
        { SIGXCPU, "SIGXCPU, a limit of processor time" }, { SIGXFSZ, "SIGXFSZ, a limit of file size" },
    };
    const char *name = "a signal";

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (names[i].number == number)
            name = names[i].name;
    return name;
}

static void add_bytes(struct text *out, int64_t bytes)
{
    if (bytes >= 10 * (INT64_C(1) << 30))
        tn_text_format(out, "%" PRId64 " GiB", bytes >> 30);
    else if (bytes >= 1 << 20)
        tn_text_format(out, "%" PRId64 " MiB", bytes >> 20);
    else
        tn_text_format(out, "%" PRId64 " bytes", bytes);
}

static void add_time(struct text *out, int64_t ms)
{
    if (ms % 1000 == 0)
        tn_text_format(out, "%" PRId64 " s", ms / 1000);
    else
        tn_text_format(out, "%" PRId64 " ms", ms);
}

static void set(struct explanation *explanation, int32_t cause, int32_t retry_helps, const char *hint)
{
    explanation->state = TENON_JOB_FAILED;
    explanation->cause = cause;
    explanation->retry_helps = retry_helps;
    tn_text_add(&explanation->hint, hint);
}

/* "PROGRAM ended with exit code 3: its last words". */
static void add_end(struct explanation *explanation, const struct ending *ending)
{
    struct text *message = &explanation->message;

    tn_text_add(message, tn_path_name(ending->program));
    if (ending->signal != 0)
        tn_text_format(message, " was ended by signal %d (%s)", (int)ending->signal, name_of_signal(ending->signal));
    else
        tn_text_format(message, " ended with exit code %d", (int)ending->exit_code);
    add_last_words(message, ending->tail);
}

static void explain_start(const struct ending *ending, struct explanation *explanation)
{
    struct text *message = &explanation->message;
    char reason[128];

    if (ending->detail != NULL) {
        tn_text_add(message, ending->detail);
        set(explanation, TENON_CAUSE_REFUSED, 0, "Look whether that folder or file is there and its disk works, and submit the job again.");
    } else if (ending->system_error == ENOENT && strchr(ending->program, '/') == NULL) {
        tn_text_format(message, "%s: no such program in %s", ending->program, ending->path);
        set(explanation, TENON_CAUSE_PROGRAM, 0, "Install it, correct the command, or add its folder to PATH.");
    } else if (ending->system_error == ENOENT) {
        tn_text_format(message, "%s: no such program, or what its first line names does not exist", ending->program);
        set(explanation, TENON_CAUSE_PROGRAM, 0,
            "Install it, or correct the command; a relative path counts from the folder of the recipe.");
    } else if (ending->system_error == ENOEXEC) {
        tn_text_format(message, "%s: this system cannot run it", ending->program);
        set(explanation, TENON_CAUSE_PROGRAM, 0,
            "A script begins with #! and its interpreter; a program must be made for this processor.");
    } else if (ending->system_error == EACCES || ending->system_error == EPERM) {
        tn_text_format(message, "%s: it may not be run", ending->program);
        set(explanation, TENON_CAUSE_PROGRAM, 0, "Make it executable (chmod +x), or name the interpreter first in the command.");
    } else {
        if (strerror_r(ending->system_error, reason, sizeof reason) != 0)
            reason[0] = '\0';
        tn_text_format(message, "%s cannot be started: %s", ending->program, reason);
        set(explanation, TENON_CAUSE_REFUSED, 1,
            "The system refuses another process: check its limits (ulimit -u) and its memory.");
    }
}

/* The process ended by itself, badly: its code, and what it said last, tell why. */
static void explain_failure(const struct ending *ending, struct explanation *explanation)
{
    add_end(explanation, ending);
    if (says(ending->tail, memory_words))
        set(explanation, TENON_CAUSE_MEMORY, 0,
            "Use a smaller batch, a shorter context or a smaller model, or give it more memory.");
    else if (says(ending->tail, disk_words))
        set(explanation, TENON_CAUSE_DISK, 0, "Free some space, or name another output folder.");
    else if (ending->serves && !ending->was_ready && tn_says_port_taken(ending->tail))
        set(explanation, TENON_CAUSE_PORT, 1, "Stop what listens on that port, or leave the port to tenon.");
    else if (ending->signal == 0 && says(ending->tail, model_words))
        set(explanation, TENON_CAUSE_INPUT, 0,
            "The model's files are damaged or not whole, or of a kind that the program does not know; `tenon cache verify` tells "
            "whether they are as the hub has them.");
    else if (ending->signal == SIGKILL || ending->exit_code == 128 + SIGKILL) /* the latter is a shell's word for it */
        set(explanation, TENON_CAUSE_SIGNAL, 1,
            "Somebody killed it; if it was the system, that was short of memory: see its log (dmesg).");
    else if (ending->signal != 0)
        set(explanation, TENON_CAUSE_SIGNAL, 0, "Read the job's log; a crash is a fault of the program or of a library it uses.");
    else if (ending->exit_code == 127 || ending->exit_code == 126)
        set(explanation, TENON_CAUSE_PROGRAM, 0,
            "Something that the command starts is not installed, not in PATH, or not executable.");
    else if (says(ending->tail, module_words))
        set(explanation, TENON_CAUSE_USER_CODE, 0,
            "Install the missing module for the Python that the command names, or name another Python.");
    else
        set(explanation, TENON_CAUSE_USER_CODE, 0, "Read the job's log; its last lines come with this report.");
}

static void explain_end(const struct ending *ending, struct explanation *explanation)
{
    if (ending->exit_code != 0)
        explain_failure(ending, explanation);
    else if (ending->serves && !ending->was_ready) {
        tn_text_format(&explanation->message, "%s ended, with exit code 0, before it was ready to serve",
                       tn_path_name(ending->program));
        set(explanation, TENON_CAUSE_HEALTH, 0,
            "The command must stay and listen at TENON_HOST and TENON_PORT; read the job's log.");
    } else if (ending->output != NULL) {
        tn_text_format(&explanation->message, "the job ended well, but did not write %s", ending->output);
        set(explanation, TENON_CAUSE_OUTPUT, 0,
            "The program must write into the folder TENON_OUTPUT what the recipe lists as outputs.");
    } else
        explanation->state = TENON_JOB_SUCCEEDED;
}

static void explain_limit(const struct ending *ending, struct explanation *explanation)
{
    if (ending->by == ENDED_TIME) {
        tn_text_add(&explanation->message, "the job ran longer than its limit of ");
        add_time(&explanation->message, ending->time_ms);
        set(explanation, TENON_CAUSE_TIME, 0,
            "Raise the limit (expiry_ms, or resources.time_ms of the recipe), or give it less to do.");
    } else if (ending->memory_bytes > 0) {
        tn_text_add(&explanation->message, "the job used more memory than its limit of ");
        add_bytes(&explanation->message, ending->memory_bytes);
        set(explanation, TENON_CAUSE_MEMORY, 0,
            "Raise the limit (memory_bytes, or resources.memory_bytes of the recipe), or use a smaller batch or model.");
    } else {
        tn_text_add(&explanation->message, "this machine ran out of memory, and the system killed the job");
        set(explanation, TENON_CAUSE_MEMORY, 1,
            "Close other programs, use a smaller batch or model, or give the job a limit (memory_bytes).");
    }
}

void tn_explain(const struct ending *ending, const struct memory *memory, struct explanation *explanation)
{
    memset(explanation, 0, sizeof *explanation);
    tn_text_init(&explanation->message, memory, WORDS_LIMIT);
    tn_text_init(&explanation->hint, memory, WORDS_LIMIT);
    if (ending->by == ENDED_STOP) {
        explanation->state = TENON_JOB_CANCELLED;
        tn_text_add(&explanation->message, "the job was stopped");
    } else if (ending->by == ENDED_TIME || ending->by == ENDED_MEMORY)
        explain_limit(ending, explanation);
    else if (ending->by == ENDED_HEALTH) {
        tn_text_format(&explanation->message, "the server was not ready in time%s%s", ending->detail != NULL ? ": " : "",
                       ending->detail != NULL ? ending->detail : "");
        set(explanation, TENON_CAUSE_HEALTH, 1, "Read the job's log; if it only needs longer, raise the setting job.ready_ms.");
    } else if (ending->by == ENDED_NO_START)
        explain_start(ending, explanation);
    else if (ending->by == ENDED_NO_PORT) {
        tn_text_format(&explanation->message, "port %d is taken", (int)ending->port);
        set(explanation, TENON_CAUSE_PORT, 1, "Stop what listens there, name another port, or leave the port to tenon.");
    } else if (ending->by == ENDED_LOST) {
        tn_text_add(&explanation->message, ending->detail != NULL ? ending->detail : "nobody saw how the job ended");
        set(explanation, TENON_CAUSE_LOST, 1, "Look at its log and its output, and start it again if they are not whole.");
    } else
        explain_end(ending, explanation);
    if (explanation->message.data != NULL) {
        tn_clean_line(NULL, explanation->message.data, MESSAGE_BYTES);
        explanation->message.length = strlen(explanation->message.data);
    }
}

void tn_explanation_clear(struct explanation *explanation)
{
    tn_text_clear(&explanation->message);
    tn_text_clear(&explanation->hint);
}
