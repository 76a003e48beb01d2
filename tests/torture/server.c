/*
 * A server for jobs that starts in no time and speaks the little of the chat calls that is asked for: /health, /v1/models and
 * /v1/chat/completions, which streams two words. It listens on TENON_PORT, and notes each of its starts in the file MARKS/$MARK.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void note_start(void)
{
    char path[4096];
    int fd;

    snprintf(path, sizeof path, "%s/%s", getenv("MARKS"), getenv("MARK"));
    fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0666);
    if (fd < 0 || write(fd, "x", 1) != 1)
        exit(3);
    close(fd);
}

static int listen_on(int port)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((unsigned short)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM, 0), yes = 1;

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, 16) != 0) {
        perror("listen");
        exit(4);
    }
    return fd;
}

/* Reads a request with its body; 0 when it is whole. */
static int take_request(int fd, char *request, size_t size)
{
    size_t got = 0, wanted = size;
    ssize_t length = 1;

    while (got < wanted && got + 1 < size && (length = read(fd, request + got, size - 1 - got)) > 0) {
        char *end, *body;

        got += (size_t)length;
        request[got] = '\0';
        end = strstr(request, "\r\n\r\n");
        body = strcasestr(request, "\r\nContent-Length:");
        if (end != NULL)
            wanted = (size_t)(end + 4 - request) + (body != NULL && body < end ? strtoul(body + 17, NULL, 10) : 0);
    }
    return got >= wanted ? 0 : -1;
}

static void answer(int fd, const char *type, const char *body)
{
    dprintf(fd, "HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s", type, strlen(body), body);
}

int main(void)
{
    static char request[1 << 16];
    int port = atoi(getenv("TENON_PORT")), fd, client;

    note_start();
    fd = listen_on(port);
    while ((client = accept(fd, NULL, NULL)) >= 0) {
        if (take_request(client, request, sizeof request) != 0)
            ;
        else if (strncmp(request, "GET /v1/models", 14) == 0)
            answer(client, "application/json", "{\"object\":\"list\",\"data\":[{\"id\":\"small\",\"object\":\"model\"}]}");
        else if (strncmp(request, "POST /v1/chat/completions", 25) == 0)
            answer(client, "text/event-stream",
                   "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"A \"}}]}\n\n"
                   "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"joint.\"},\"finish_reason\":\"stop\"}]}\n\n"
                   "data: [DONE]\n\n");
        else
            answer(client, "application/json", "{}");
        shutdown(client, SHUT_WR);
        close(client);
    }
    return 0;
}
