#include "curl_code.h"

#include <string.h>

static enum exchange_end meaning_of(CURLcode code)
{
    enum exchange_end end = EXCHANGE_CUT;

    switch (code) {
    case CURLE_OK:
        end = EXCHANGE_DONE;
        break;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_INTERFACE_FAILED:
        end = EXCHANGE_NO_HOST;
        break;
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_PROXY:
        end = EXCHANGE_NO_PROXY;
        break;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_ENGINE_NOTFOUND:
    case CURLE_SSL_INVALIDCERTSTATUS:
    case CURLE_USE_SSL_FAILED:
        end = EXCHANGE_NO_TLS;
        break;
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_URL_MALFORMAT:
        end = EXCHANGE_BAD_URL;
        break;
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_BAD_CONTENT_ENCODING:
    case CURLE_WRITE_ERROR:
        end = EXCHANGE_NONSENSE;
        break;
    case CURLE_OUT_OF_MEMORY:
        end = EXCHANGE_NO_MEMORY;
        break;
    default:
        break;
    }
    return end;
}

/* A line that is cut while TLS is being agreed on is a cut line, whatever its code says. */
static bool was_cut(CURLcode code, const char *words)
{
    static const char *const cuts[] = {
        "reset by peer", "Recv failure", "Send failure", "SSL_ERROR_SYSCALL", "unexpected eof", "Broken pipe",
    };
    bool cut = false;

    for (size_t i = 0; i < sizeof cuts / sizeof cuts[0] && code == CURLE_SSL_CONNECT_ERROR; i++)
        cut = cut || strstr(words, cuts[i]) != NULL;
    return cut;
}

enum exchange_end tn_curl_end(CURLcode code, const char *words)
{
    return was_cut(code, words) ? EXCHANGE_CUT : meaning_of(code);
}

bool tn_curl_may_be_nonsense(CURLcode code)
{
    return code == CURLE_OUT_OF_MEMORY || code == CURLE_UNSUPPORTED_PROTOCOL || code == CURLE_BAD_FUNCTION_ARGUMENT;
}

enum tls_fault tn_curl_fault(CURLcode code, const char *words)
{
    static const struct {
        const char *words;
        enum tls_fault fault;
    } meanings[] = {
        { "expired", TLS_DATE },         { "not yet valid", TLS_DATE },         { "subject name", TLS_HOST },
        { "protocol version", TLS_VERSION }, { "unsupported protocol", TLS_VERSION }, { "wrong version number", TLS_PLAIN },
        { "http request", TLS_PLAIN },
    };
    enum tls_fault fault = code == CURLE_PEER_FAILED_VERIFICATION ? TLS_AUTHORITY : TLS_UNKNOWN;
    size_t i = 0;

    while (i < sizeof meanings / sizeof meanings[0] && strstr(words, meanings[i].words) == NULL)
        i++;
    if (code == CURLE_SSL_CACERT_BADFILE)
        fault = TLS_FILE;
    else if (i < sizeof meanings / sizeof meanings[0])
        fault = meanings[i].fault;
    return fault;
}
