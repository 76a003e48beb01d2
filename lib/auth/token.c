#include "token.h"

#include <limits.h>
#include <string.h>

#include "file.h"

enum { TOKEN_LONGEST = 8192 };

/*
 * What is in the file, as long as there is one that can be read: a token that cannot be had is no token. Memory that cannot be
 * had is a failure, or a request would go out without the token that it needs.
 */
static void read_file(struct tenon_context *context, struct text *token)
{
    struct text path;
    struct failure ignored;
    tenon_status status = TENON_OK;

    tn_text_init(&path, &context->memory, PATH_MAX);
    tn_failure_init(&ignored, &context->memory, NULL);
    tn_setting_path(&context->settings, SETTING_HUB_TOKEN_PATH, &path);
    if (path.failed)
        status = TENON_ERROR_MEMORY;
    else if (path.length > 0)
        status = tn_file_read_whole(tn_text(&path), TOKEN_LONGEST, token, &ignored);
    if (status == TENON_ERROR_MEMORY)
        token->failed = true;
    else if (status != TENON_OK) {
        tn_text_reset(token);
        if (tn_file_exists(tn_text(&path)))
            tn_log(context, TENON_LOG_WARNING, "auth", "the token file is left alone: %s",
                   ignored.message != NULL ? ignored.message : tn_text(&path));
    }
    tn_failure_clear(&ignored);
    tn_text_clear(&path);
}

/* Line ends anywhere and blanks around are not part of a token. */
static void clean(struct text *token)
{
    size_t kept = 0, start = 0;

    for (size_t i = 0; i < token->length; i++)
        if (token->data[i] != '\r' && token->data[i] != '\n')
            token->data[kept++] = token->data[i];
    while (start < kept && (token->data[start] == ' ' || token->data[start] == '\t'))
        start++;
    while (kept > start && (token->data[kept - 1] == ' ' || token->data[kept - 1] == '\t'))
        kept--;
    if (token->data != NULL)
        token->data[kept] = '\0';
    token->length = kept;
    tn_text_drop(token, start);
}

static bool fits_header(const struct text *token)
{
    for (size_t i = 0; i < token->length; i++)
        if ((unsigned char)token->data[i] <= 0x20 || (unsigned char)token->data[i] >= 0x7f)
            return false;
    return true;
}

tenon_status tn_token_find(struct tenon_context *context, const char *given, char **token)
{
    const char *set = tn_setting_text(&context->settings, SETTING_HUB_TOKEN);
    bool implicit = given == NULL && !tn_setting_flag(&context->settings, SETTING_HUB_NO_TOKEN);
    tenon_status status = TENON_OK;
    struct text found;

    *token = NULL;
    tn_text_init(&found, &context->memory, TOKEN_LONGEST);
    if (given != NULL)
        tn_text_add(&found, given);
    else if (implicit && set != NULL)
        tn_text_add(&found, set);
    else if (implicit)
        read_file(context, &found);
    clean(&found);
    if (found.full)
        status = tn_fail(&context->failure, TENON_ERROR_ARGUMENT, "the token is longer than %d characters", (int)TOKEN_LONGEST);
    else if (found.failed)
        status = tn_fail_memory(&context->failure);
    else if (!fits_header(&found)) {
        status = tn_fail(&context->failure, TENON_ERROR_ARGUMENT, "the token has characters that no token has");
        tn_hint(&context->failure, "Check HF_TOKEN, or the file that HF_TOKEN_PATH names.");
    } else if (found.length > 0) {
        *token = tn_text_take(&found);
        if (*token == NULL || tn_secrets_add(&context->secrets, *token) != TENON_OK) {
            tn_release(&context->memory, *token);
            *token = NULL;
            status = tn_fail_memory(&context->failure);
        }
    }
    tn_text_clear(&found);
    return status;
}
