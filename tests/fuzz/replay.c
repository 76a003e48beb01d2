/*
 * The main of a fuzz target without libFuzzer: replay CURRENT ROUNDS FILE... gives the target each file, and then ROUNDS
 * inputs that are made of them, the same on every run. Before each call the input is put into the file CURRENT, so that it
 * is there when the call is the last one. Prints how many inputs there were.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz.h"

enum { SEEDS_MOST = 256, INPUT_MOST = 1 << 20, CHANGES_MOST = 6 };

struct input {
    uint8_t *bytes;
    size_t size;
};

static struct input seeds[SEEDS_MOST];
static int seed_count;

/* ---- chance that is the same every time ---- */

static uint64_t chance = 0x9e3779b97f4a7c15u;

static size_t below(size_t limit)
{
    chance ^= chance << 13;
    chance ^= chance >> 7;
    chance ^= chance << 17;
    return limit > 0 ? (size_t)(chance >> 11) % limit : 0;
}

/* ---- changes ---- */

/* Replaces `gone` bytes at a place by others. */
static void replace(struct input *input, size_t at, size_t gone, const void *bytes, size_t size)
{
    size_t rest = input->size - at - gone;

    if (input->size - gone + size > INPUT_MOST)
        return;
    memmove(input->bytes + at + size, input->bytes + at + gone, rest);
    memmove(input->bytes + at, bytes, size);
    input->size += size - gone;
}

static void change_bits(struct input *input)
{
    if (input->size > 0)
        input->bytes[below(input->size)] ^= (uint8_t)(1u << below(8));
}

static void change_byte(struct input *input)
{
    static const uint8_t telling[] = { 0, 1, 9, 10, 13, 32, 34, 37, 44, 45, 46, 47, 48, 57, 58, 60, 61, 62, 91, 92, 93, 123, 125,
                                       127, 128, 194, 237, 255 };

    if (input->size > 0)
        input->bytes[below(input->size)] = telling[below(sizeof telling)];
}

static void remove_some(struct input *input)
{
    size_t at = below(input->size), most = input->size - at;

    replace(input, at, below((most < 32 ? most : 32) + 1), "", 0);
}

static void cut(struct input *input)
{
    input->size = below(input->size + 1);
}

static void repeat_some(struct input *input)
{
    uint8_t copy[64];
    size_t from = below(input->size), size = input->size - from < sizeof copy ? input->size - from : below(sizeof copy);

    memcpy(copy, input->bytes + from, size);
    for (size_t times = 1 + below(8); times > 0; times--)
        replace(input, below(input->size + 1), 0, copy, size);
}

static void insert_word(struct input *input)
{
    static const char *const words[] = { "..", "/../", "//", "null", "{}", "[]", "\"\"", "-1", "18446744073709551615",
                                         "9223372036854775807", "9223372036854775808", "1e999", "0.5", "\xef\xbb\xbf", "\xff\xfe",
                                         "\\u0000", "\\ud800", "\n\n", "\r", "data:", "%00", "%2e%2e%2f", "@", "*", "[", "CON",
                                         ".incomplete", "\n====\n200\n\n{}", "302\nlocation: file:///etc/passwd\n",
                                         "content-length: 99\n" };
    const char *word = words[below(COUNT(words))];

    replace(input, below(input->size + 1), 0, word, strlen(word));
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

/* A number that is written somewhere becomes another one. */
static void change_number(struct input *input)
{
    static const char *const numbers[] = { "0", "1", "-1", "7", "255", "65536", "2147483648", "4294967296", "9007199254740993",
                                           "9223372036854775807", "99999999999999999999", "1.5", "1e30" };
    const char *number = numbers[below(COUNT(numbers))];
    size_t at = below(input->size), end;

    while (at < input->size && !is_digit(input->bytes[at]))
        at++;
    for (end = at; end < input->size && is_digit(input->bytes[end]);)
        end++;
    if (end > at)
        replace(input, at, end - at, number, strlen(number));
}

/* A binary number does. */
static void change_word(struct input *input)
{
    static const uint64_t numbers[] = { 0, 1, 0x7f, 0xff, 0xffff, 0x7fffffff, 0xffffffff, INT64_MAX, UINT64_MAX, 1u << 20 };
    uint64_t number = numbers[below(COUNT(numbers))] - below(2);
    size_t size = (size_t)1 << below(4);

    if (input->size >= size)
        memcpy(input->bytes + below(input->size - size + 1), &number, size);
}

/* A piece of another seed. */
static void cross(struct input *input)
{
    const struct input *other = &seeds[below((size_t)seed_count)];
    size_t from = below(other->size), size = below(other->size - from + 1);

    if (size > 0)
        replace(input, below(input->size + 1), 0, other->bytes + from, size);
}

static void change(struct input *input)
{
    static void (*const changes[])(struct input *) = { change_bits, change_byte, change_byte, remove_some, cut, repeat_some,
                                                       insert_word, change_number, change_number, change_word, cross };

    changes[below(COUNT(changes))](input);
}

/* ---- running ---- */

static void run(int current, const struct input *input)
{
    uint8_t *tight = malloc(input->size + (input->size == 0));

    HOLDS(tight != NULL);
    memcpy(tight, input->bytes, input->size);
    HOLDS(ftruncate(current, 0) == 0 && pwrite(current, tight, input->size, 0) == (ssize_t)input->size);
    LLVMFuzzerTestOneInput(tight, input->size);
    free(tight);
}

static void load(const char *path)
{
    struct stat facts;
    int fd = open(path, O_RDONLY);
    struct input *seed = &seeds[seed_count];

    HOLDS(fd >= 0 && fstat(fd, &facts) == 0 && facts.st_size <= INPUT_MOST && seed_count < SEEDS_MOST);
    seed->size = (size_t)facts.st_size;
    seed->bytes = malloc(seed->size + 1);
    HOLDS(seed->bytes != NULL && read(fd, seed->bytes, seed->size) == (ssize_t)seed->size);
    close(fd);
    seed_count++;
}

static void run_changed(int current, long rounds)
{
    struct input input = { malloc(INPUT_MOST), 0 };

    HOLDS(input.bytes != NULL);
    for (long round = 0; round < rounds; round++) {
        const struct input *seed = &seeds[(size_t)round % (size_t)seed_count];

        memcpy(input.bytes, seed->bytes, seed->size);
        input.size = seed->size;
        for (size_t changes = 1 + below(CHANGES_MOST); changes > 0; changes--)
            change(&input);
        run(current, &input);
    }
    free(input.bytes);
}

int main(int count, char **words)
{
    long rounds = count > 3 ? strtol(words[2], NULL, 10) : -1;
    int current = rounds >= 0 ? open(words[1], O_RDWR | O_CREAT, 0600) : -1;

    HOLDS(current >= 0);
    for (int i = 3; i < count; i++)
        load(words[i]);
    for (int i = 0; i < seed_count; i++)
        run(current, &seeds[i]);
    run_changed(current, rounds);
    printf("%ld inputs\n", seed_count + rounds);
    for (int i = 0; i < seed_count; i++)
        free(seeds[i].bytes);
    close(current);
    return 0;
}
