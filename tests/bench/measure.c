/*
 * measure FILE PROGRAM ARGUMENT...: runs the program, and writes to FILE as JSON what it took: wall, user and system seconds, the
 * most memory it had at once in bytes, and its status (128 + N where signal N ended it).
 *
 * It is a program of its own because Linux counts the memory of who starts a program as that program's: this one has next to none.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static double seconds(const struct timeval *time)
{
    return (double)time->tv_sec + (double)time->tv_usec / 1e6;
}

int main(int count, char **words)
{
    struct rusage usage;
    double begun = now(), wall;
    FILE *file;
    pid_t child;
    int status;

    if (count < 3)
        return 2;
    child = vfork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        execvp(words[2], words + 2);
        _exit(127);
    }
    if (child < 0 || wait4(child, &status, 0, &usage) != child)
        return 1;
    wall = now() - begun;
    file = fopen(words[1], "w");
    if (file == NULL)
        return 1;
    fprintf(file, "{\"wall\": %.6f, \"user\": %.6f, \"system\": %.6f, \"peak\": %lld, \"status\": %d}\n", wall,
            seconds(&usage.ru_utime), seconds(&usage.ru_stime), (long long)usage.ru_maxrss * 1024,
            WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
    return fclose(file) == 0 ? 0 : 1;
}
