/* Settings: each line is "key=value". What is taken is shown again, and a secret is shown nowhere. */
#include "fuzz.h"

#include <string.h>

#include "settings.h"
#include "text.h"

static void check_line(struct settings *settings, const char *line)
{
    struct failure failure;
    struct text shown, key;
    const char *equals = strchr(line, '=');
    tenon_status status;

    tn_failure_init(&failure, fuzz_memory(), settings->secrets);
    tn_text_init(&shown, fuzz_memory(), SIZE_MAX / 4);
    tn_text_init(&key, fuzz_memory(), SIZE_MAX / 4);
    status = tn_settings_assign(settings, line, &failure);
    HOLDS(status == TENON_OK || status == TENON_ERROR_ARGUMENT);
    HOLDS(status == failure.status && fuzz_is_clean(failure.message) && fuzz_is_clean(failure.hint));
    if (status == TENON_OK) {
        HOLDS(equals != NULL);
        tn_text_add_n(&key, line, (size_t)(equals - line));
        HOLDS(tn_settings_show(settings, tn_text(&key), &shown, &failure) == TENON_OK);
        HOLDS(strchr(tn_text(&shown), '\n') == NULL);
        if (strcmp(tn_text(&key), "hub.token") == 0)
            HOLDS(strcmp(tn_text(&shown), "(set)") == 0 || shown.length == 0);
    }
    tn_text_clear(&key);
    tn_text_clear(&shown);
    tn_failure_clear(&failure);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct secrets secrets = { .memory = fuzz_memory() };
    struct settings settings;
    char *line = fuzz_text(bytes, size), *text = line, *next;

    HOLDS(tn_settings_open(&settings, fuzz_memory(), &secrets, false) == TENON_OK);
    for (; *line != '\0'; line = next) {
        next = fuzz_cut(line, "\n");
        check_line(&settings, line);
    }
    for (int id = 0; id < SETTING_COUNT; id++) {
        struct text path;

        tn_text_init(&path, fuzz_memory(), 4096);
        tn_setting_path(&settings, (enum setting_id)id, &path);
        tn_setting_integer(&settings, (enum setting_id)id);
        tn_setting_flag(&settings, (enum setting_id)id);
        tn_text_clear(&path);
    }
    tn_settings_clear(&settings);
    tn_secrets_clear(&secrets);
    free(text);
    return 0;
}
