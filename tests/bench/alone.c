/* alone URL: the same request with libcurl and nothing else, which trusts what SSL_CERT_FILE names. */
#include <curl/curl.h>
#include <stdlib.h>

static size_t take(char *bytes, size_t size, size_t count, void *user)
{
    (void)bytes;
    (void)user;
    return size * count;
}

int main(int count, char **words)
{
    CURLcode code = CURLE_FAILED_INIT;
    CURL *easy;

    curl_global_init(CURL_GLOBAL_DEFAULT);
    easy = curl_easy_init();
    if (easy != NULL && count > 1) {
        curl_easy_setopt(easy, CURLOPT_URL, words[1]);
        curl_easy_setopt(easy, CURLOPT_CAINFO, getenv("SSL_CERT_FILE"));
        curl_easy_setopt(easy, CURLOPT_FAILONERROR, 1L);
        curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take);
        code = curl_easy_perform(easy);
    }
    curl_easy_cleanup(easy);
    curl_global_cleanup();
    return code == CURLE_OK ? 0 : 1;
}
