#include "settings.h"

#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "row.h"

#ifndef TENON_SUPERVISOR
#define TENON_SUPERVISOR ""
#endif

#define TEXT(key, value, environment, description) \
    { sizeof(tenon_setting), TENON_SETTING_TEXT, key, "", value, environment, description, "0.1", 0, 0, 0, 0 }
#define SECRET(key, environment, description) \
    { sizeof(tenon_setting), TENON_SETTING_TEXT, key, "", "", environment, description, "0.1", 0, 0, 1, 0 }
#define PATH(key, value, environment, description) \
    { sizeof(tenon_setting), TENON_SETTING_PATH, key, "", value, environment, description, "0.1", 0, 0, 0, 0 }
#define FLAG(key, environment, description) \
    { sizeof(tenon_setting), TENON_SETTING_BOOLEAN, key, "", "0", environment, description, "0.1", 0, 1, 0, 0 }
#define NUMBER(key, unit, value, minimum, maximum, environment, description) \
    { sizeof(tenon_setting), TENON_SETTING_INTEGER, key, unit, value, environment, description, "0.1", minimum, maximum, 0, 0 }

/* Defaults of paths may name another row in braces; the one place where that is understood is tn_setting_path. */
static const tenon_setting rows[SETTING_COUNT] = {
    [SETTING_HOME] = PATH("home", "", "HOME", "Home folder of the user, from which other defaults are made."),
    [SETTING_HUB_ENDPOINT] = TEXT("hub.endpoint", "https://huggingface.co", "HF_ENDPOINT",
        "Address of the hub: https, http, or file:///folder."),
    [SETTING_HUB_TOKEN] = SECRET("hub.token", "HF_TOKEN HUGGING_FACE_HUB_TOKEN", "Token of the hub."),
    [SETTING_HUB_TOKEN_PATH] = PATH("hub.token_path", "{hub.home}/token", "HF_TOKEN_PATH",
        "File with the token, read where hub.token is not set."),
    [SETTING_HUB_NO_TOKEN] = FLAG("hub.no_token", "HF_HUB_DISABLE_IMPLICIT_TOKEN",
        "Send no token but one that is given with the hub's options."),
    [SETTING_HUB_HOME] = PATH("hub.home", "{home}/.cache/huggingface", "HF_HOME",
        "Base folder of the official clients; with XDG_CACHE_HOME set its default is below that."),
    [SETTING_HUB_CACHE] = PATH("hub.cache", "{hub.home}/hub", "HF_HUB_CACHE HUGGINGFACE_HUB_CACHE",
        "Cache folder, shared with the official clients."),
    [SETTING_HUB_OFFLINE] = FLAG("hub.offline", "HF_HUB_OFFLINE TRANSFORMERS_OFFLINE", "Ask no hub; answer from the cache."),
    [SETTING_HUB_NO_LINKS] = FLAG("hub.no_links", "HF_HUB_DISABLE_SYMLINKS",
        "Put plain files instead of symbolic links into snapshots."),
    [SETTING_HUB_FILES] = NUMBER("hub.files", "files", "8", 1, 64, "", "Files of a snapshot that are fetched at once."),
    [SETTING_HUB_PARTS] = NUMBER("hub.parts", "parts", "4", 1, 16, "", "Parts of a large file that are fetched at once."),
    [SETTING_HUB_PART_BYTES] = NUMBER("hub.part_bytes", "bytes", "33554432", 65536, INT64_C(1) << 32, "",
        "Size of such a part; also how much is written before it is made durable."),
    [SETTING_HUB_LOCK_MS] = NUMBER("hub.lock_ms", "ms", "600000", 0, INT64_MAX, "",
        "How long to wait for another process that downloads the same file."),
    [SETTING_TRANSPORT_CONNECT_MS] = NUMBER("transport.connect_ms", "ms", "10000", 1, INT32_MAX, "",
        "How long a connection may take to stand, TLS included."),
    [SETTING_TRANSPORT_IDLE_MS] = NUMBER("transport.idle_ms", "ms", "30000", 1, INT32_MAX, "",
        "How long the other side may be silent."),
    [SETTING_TRANSPORT_TOTAL_MS] = NUMBER("transport.total_ms", "ms", "0", 0, INT32_MAX, "",
        "How long a request may take in all; 0 for no limit. Downloads and streams have none."),
    [SETTING_TRANSPORT_RETRIES] = NUMBER("transport.retries", "times", "5", 0, 100, "",
        "How often a request that may be repeated is repeated."),
    [SETTING_TRANSPORT_BACKOFF_MS] = NUMBER("transport.backoff_ms", "ms", "500", 0, 60000, "",
        "First pause before a repetition; it doubles each time, up to 16 times, and chance takes off up to half."),
    [SETTING_TRANSPORT_WAIT_MS] = NUMBER("transport.wait_ms", "ms", "330000", 0, INT32_MAX, "",
        "The longest pause that a server can ask for; a longer one is an error at once."),
    [SETTING_TRANSPORT_CONNECTIONS] = NUMBER("transport.connections", "connections", "8", 1, 256, "",
        "Connections to one host at once."),
    [SETTING_TRANSPORT_HTTPS_PROXY] = TEXT("transport.https_proxy", "", "HTTPS_PROXY https_proxy ALL_PROXY all_proxy",
        "Proxy for https addresses; \"\" for none."),
    [SETTING_TRANSPORT_HTTP_PROXY] = TEXT("transport.http_proxy", "", "http_proxy ALL_PROXY all_proxy",
        "Proxy for http addresses; \"\" for none."),
    [SETTING_TRANSPORT_NO_PROXY] = TEXT("transport.no_proxy", "", "NO_PROXY no_proxy",
        "Hosts that are reached without a proxy, separated by commas; * for all. This machine always is."),
    [SETTING_TRANSPORT_CA_FILE] = PATH("transport.ca_file", "", "SSL_CERT_FILE CURL_CA_BUNDLE REQUESTS_CA_BUNDLE",
        "File with trusted authorities; the system's where nothing is set."),
    [SETTING_TRANSPORT_CA_FOLDER] = PATH("transport.ca_folder", "", "SSL_CERT_DIR",
        "Folder with trusted authorities, hashed as OpenSSL wants it."),
    [SETTING_TRANSPORT_USER_AGENT] = TEXT("transport.user_agent", "", "TENON_USER_AGENT",
        "What the application calls itself; goes before tenon's own name."),
    [SETTING_TRANSPORT_JSON_BYTES] = NUMBER("transport.json_bytes", "bytes", "67108864", 4096, INT64_C(1) << 32, "",
        "The largest JSON answer that is accepted."),
    [SETTING_ACCELERATOR_ROOT] = PATH("accelerator.root", "/", "TENON_ROOT",
        "Folder that is taken for / when this machine is probed: for containers that see the host's /proc and /sys elsewhere."),
    [SETTING_JOB_FOLDER] = PATH("job.folder", "{job.state_home}/tenon/jobs", "TENON_JOBS",
        "Folder where local jobs keep their state."),
    [SETTING_JOB_STATE_HOME] = PATH("job.state_home", "{home}/.local/state", "XDG_STATE_HOME",
        "Base folder of what programs remember."),
    [SETTING_JOB_SUPERVISOR] = PATH("job.supervisor", TENON_SUPERVISOR, "TENON_SUPERVISOR",
        "The program tenon-supervisor that runs local jobs; it is also looked for beside the library."),
    [SETTING_JOB_PATH] = TEXT("job.path", "/usr/local/bin:/usr/bin:/bin", "PATH", "Where programs of local jobs are looked for."),
    [SETTING_JOB_GRACE_MS] = NUMBER("job.grace_ms", "ms", "10000", 0, INT32_MAX, "",
        "How long a job that is stopped may take to end by itself."),
    [SETTING_JOB_READY_MS] = NUMBER("job.ready_ms", "ms", "1800000", 1, INT32_MAX, "",
        "How long a server may take to become ready."),
    [SETTING_INFERENCE_IDLE_MS] = NUMBER("inference.idle_ms", "ms", "600000", 1, INT32_MAX, "",
        "How long a served model may be silent, before its answer and within: it may have others to answer first."),
};

tenon_status tenon_setting_at(uint32_t index, tenon_setting *setting)
{
    if (index >= SETTING_COUNT)
        return TENON_DONE;
    return tn_row_give(&tn_row_setting, &rows[index], setting);
}

static int find_row(const char *key)
{
    for (int i = 0; i < SETTING_COUNT && key != NULL; i++)
        if (strcmp(rows[i].key, key) == 0)
            return i;
    return -1;
}

static bool parse_flag(const char *text, bool *flag)
{
    static const char *const yes[] = { "1", "on", "yes", "true" }, *const no[] = { "0", "off", "no", "false", "" };
    bool known = false;

    *flag = false;
    for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++)
        if (tn_compare_case(text, yes[i]) == 0)
            known = *flag = true;
    for (size_t i = 0; i < sizeof no / sizeof no[0]; i++)
        if (tn_compare_case(text, no[i]) == 0)
            known = true;
    return known;
}

static tenon_status check_value(const tenon_setting *row, const char *value, struct failure *failure)
{
    int64_t number = 0;
    bool flag;
    tenon_status status = TENON_OK;

    if (row->type == TENON_SETTING_INTEGER &&
        (!tn_parse_integer(value, &number) || number < row->minimum || number > row->maximum)) {
        status = tn_fail(failure, TENON_ERROR_ARGUMENT, "setting %s: \"%s\" is not a whole number from %" PRId64 " to %" PRId64,
                         row->key, value, row->minimum, row->maximum);
    } else if (row->type == TENON_SETTING_BOOLEAN && !parse_flag(value, &flag))
        status = tn_fail(failure, TENON_ERROR_ARGUMENT, "setting %s: \"%s\" is neither yes nor no", row->key, value);
    else if (strpbrk(value, "\r\n") != NULL)
        status = tn_fail(failure, TENON_ERROR_ARGUMENT, "setting %s: the value has more than one line", row->key);
    return status;
}

/* The first variable of the row that is set and not empty. A flag is read as the official clients do: what is not yes is no. */
static const char *find_variable(const tenon_setting *row)
{
    const char *name = row->environment;
    const char *value = NULL;

    while (*name != '\0' && value == NULL) {
        char variable[64];
        size_t length = strcspn(name, " ");

        if (length < sizeof variable) {
            memcpy(variable, name, length);
            variable[length] = '\0';
            value = getenv(variable);
            if (value != NULL && *value == '\0')
                value = NULL;
        }
        name += length + strspn(name + length, " ");
    }
    return value;
}

/* Tokens come from files and shells with blanks and line ends around them. */
static char *copy_value(const struct memory *memory, const tenon_setting *row, const char *value)
{
    size_t length = strlen(value);

    if (row->secret) {
        size_t start = strspn(value, " \t\r\n");

        value += start;
        length -= start;
        while (length > 0 && strchr(" \t\r\n", value[length - 1]) != NULL)
            length--;
    }
    return tn_copy_n(memory, value, length);
}

static tenon_status read_variable(struct settings *settings, int id)
{
    const char *value = find_variable(&rows[id]);
    struct failure ignored;
    bool flag;
    tenon_status status = TENON_OK;

    if (value == NULL)
        return TENON_OK;
    if (rows[id].type == TENON_SETTING_BOOLEAN)
        value = parse_flag(value, &flag) && flag ? "1" : "0";
    tn_failure_init(&ignored, settings->memory, NULL);
    /* A variable that makes no sense is as good as none: it was not written for us alone. */
    if (rows[id].secret || check_value(&rows[id], value, &ignored) == TENON_OK) {
        settings->environment[id] = copy_value(settings->memory, &rows[id], value);
        if (settings->environment[id] == NULL)
            status = TENON_ERROR_MEMORY;
        else if (rows[id].secret)
            status = tn_secrets_add(settings->secrets, settings->environment[id]);
    }
    tn_failure_clear(&ignored);
    return status;
}

/* XDG_CACHE_HOME moves a default but is no setting of ours. */
static tenon_status read_cache_home(struct settings *settings)
{
    const char *cache = getenv("XDG_CACHE_HOME");
    struct text path;

    if (cache == NULL || *cache == '\0' || settings->environment[SETTING_HUB_HOME] != NULL)
        return TENON_OK;
    tn_text_init(&path, settings->memory, PATH_MAX);
    tn_text_format(&path, "%s/huggingface", cache);
    settings->environment[SETTING_HUB_HOME] = tn_text_take(&path);
    return settings->environment[SETTING_HUB_HOME] != NULL ? TENON_OK : TENON_ERROR_MEMORY;
}

/*
 * What a job on this machine finds of our environment: where things are and how text looks. Nothing else, because the rest
 * of it may hold secrets.
 */
static const char *const inherited[] = {
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "TZ", "LANG", "LC_ALL", "LC_CTYPE", "LC_MESSAGES", "TMPDIR", "XDG_CACHE_HOME",
    "LD_LIBRARY_PATH", "PYTHONPATH", "VIRTUAL_ENV", "HF_HOME", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy",
    "https_proxy", "all_proxy", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CUDA_VISIBLE_DEVICES",
    "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES",
};

enum { INHERITED = sizeof inherited / sizeof inherited[0] };

static tenon_status read_inherited(struct settings *settings)
{
    size_t count = 0;

    settings->inherited = tn_alloc_array(settings->memory, INHERITED + 1, sizeof *settings->inherited);
    if (settings->inherited == NULL)
        return TENON_ERROR_MEMORY;
    for (size_t i = 0; i < INHERITED; i++) {
        const char *value = getenv(inherited[i]);
        struct text pair;

        if (value == NULL)
            continue;
        tn_text_init(&pair, settings->memory, SIZE_MAX / 2);
        tn_text_format(&pair, "%s=%s", inherited[i], value);
        settings->inherited[count] = tn_text_take(&pair);
        if (settings->inherited[count++] == NULL)
            return TENON_ERROR_MEMORY;
    }
    return TENON_OK;
}

const char *const *tn_settings_inherited(const struct settings *settings)
{
    static const char *const none[] = { NULL };

    return settings->inherited != NULL ? (const char *const *)settings->inherited : none;
}

tenon_status tn_settings_open(struct settings *settings, const struct memory *memory, struct secrets *secrets, bool environment)
{
    tenon_status status = TENON_OK;

    memset(settings, 0, sizeof *settings);
    settings->memory = memory;
    settings->secrets = secrets;
    for (int i = 0; environment && i < SETTING_COUNT && status == TENON_OK; i++)
        status = read_variable(settings, i);
    if (environment && status == TENON_OK)
        status = read_cache_home(settings);
    if (environment && status == TENON_OK)
        status = read_inherited(settings);
    return status;
}

void tn_settings_clear(struct settings *settings)
{
    for (int i = 0; i < SETTING_COUNT && settings->memory != NULL; i++) {
        tn_release(settings->memory, settings->environment[i]);
        tn_release(settings->memory, settings->values[i]);
    }
    for (char **pair = settings->inherited; pair != NULL && *pair != NULL; pair++)
        tn_release(settings->memory, *pair);
    if (settings->memory != NULL)
        tn_release(settings->memory, settings->inherited);
    memset(settings, 0, sizeof *settings);
}

static tenon_status no_such_setting(const char *key, struct failure *failure)
{
    tn_fail(failure, TENON_ERROR_ARGUMENT, "there is no setting \"%s\"", key != NULL ? key : "(NULL)");
    return tn_hint(failure, "tenon_setting_at lists them all; so does the table in the README.");
}

tenon_status tn_settings_set(struct settings *settings, const char *key, const char *value, struct failure *failure)
{
    int id = find_row(key);
    char *copy = NULL;
    tenon_status status = id >= 0 ? TENON_OK : no_such_setting(key, failure);

    if (status == TENON_OK && value != NULL)
        status = check_value(&rows[id], value, failure);
    if (status == TENON_OK && value != NULL) {
        copy = copy_value(settings->memory, &rows[id], value);
        if (copy == NULL || (rows[id].secret && tn_secrets_add(settings->secrets, copy) != TENON_OK))
            status = tn_fail_memory(failure);
    }
    if (status == TENON_OK) {
        char *old = settings->values[id];

        settings->values[id] = copy;
        copy = old;
    }
    tn_release(settings->memory, copy);
    return status;
}

tenon_status tn_settings_assign(struct settings *settings, const char *row, struct failure *failure)
{
    const char *value = strchr(row, '=');
    char *key;
    tenon_status status;

    if (value == NULL)
        return tn_fail(failure, TENON_ERROR_ARGUMENT, "\"%s\" is not key=value", row);
    key = tn_copy_n(settings->memory, row, (size_t)(value - row));
    if (key == NULL)
        return tn_fail_memory(failure);
    status = tn_settings_set(settings, key, value + 1, failure);
    tn_release(settings->memory, key);
    return status;
}

static const char *value_in_force(const struct settings *settings, int id)
{
    const char *value = settings->values[id];

    if (value == NULL)
        value = settings->environment[id];
    return value != NULL ? value : rows[id].default_value;
}

/* User and password of an address are secrets, the rest of it is not. */
static void show_text(int id, const char *value, struct text *out)
{
    bool address = strstr(value, "://") != NULL || id == SETTING_TRANSPORT_HTTPS_PROXY || id == SETTING_TRANSPORT_HTTP_PROXY;
    size_t user = 0;
    const char *host = address ? tn_address_host(value, &user) : value;

    tn_text_add_n(out, value, (size_t)(host - value));
    tn_text_add(out, user > 0 ? "(set)@" : "");
    tn_text_add(out, host + user);
}

tenon_status tn_settings_show(const struct settings *settings, const char *key, struct text *out, struct failure *failure)
{
    int id = find_row(key);

    if (id < 0)
        return no_such_setting(key, failure);
    if (rows[id].secret)
        tn_text_add(out, *value_in_force(settings, id) != '\0' ? "(set)" : "");
    else if (rows[id].type == TENON_SETTING_PATH)
        tn_setting_path(settings, (enum setting_id)id, out);
    else
        show_text(id, value_in_force(settings, id), out);
    return tn_text_status(out) == TENON_OK ? TENON_OK : tn_fail_memory(failure);
}

const char *tn_setting_text(const struct settings *settings, enum setting_id id)
{
    const char *value = value_in_force(settings, id);

    return *value != '\0' ? value : NULL;
}

const char *tn_setting_key(enum setting_id id)
{
    return rows[id].key;
}

int64_t tn_setting_integer(const struct settings *settings, enum setting_id id)
{
    int64_t number = 0;

    tn_parse_integer(value_in_force(settings, id), &number);
    return number;
}

bool tn_setting_flag(const struct settings *settings, enum setting_id id)
{
    bool flag = false;

    parse_flag(value_in_force(settings, id), &flag);
    return flag;
}

void tn_setting_path(const struct settings *settings, enum setting_id id, struct text *out)
{
    const char *value = value_in_force(settings, id), *rest = value;
    size_t start = out->length;
    int base = -1;

    /* The home folder itself is taken as it is, or "~" would be looked for for ever. */
    if (id != SETTING_HOME && value[0] == '~' && (value[1] == '/' || value[1] == '\0')) {
        base = SETTING_HOME;
        rest = value + 1;
    } else if (value == rows[id].default_value && value[0] == '{') {
        size_t length = strcspn(value, "}");

        for (int i = 0; i < SETTING_COUNT; i++)
            if (strlen(rows[i].key) == length - 1 && strncmp(rows[i].key, value + 1, length - 1) == 0)
                base = i;
        rest = value + length + 1;
    }
    if (base >= 0)
        tn_setting_path(settings, (enum setting_id)base, out);
    /* Without its base there is no such path: "/.cache" would be somebody else's. */
    if (base < 0 || out->length > start)
        tn_text_add(out, rest);
}
