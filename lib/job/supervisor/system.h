/*
 * What the supervisor asks of the operating system beyond lib/base. It is a program of its own with one thread, so it may
 * do what a library may not: fork, change its signals, become the parent of orphans.
 */
#ifndef TN_SYSTEM_H
#define TN_SYSTEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "failure.h"
#include "process.h"

/* Leaves its parent behind: only the child returns, with a session of its own. */
void system_detach(void);
/* Blocks all signals, and makes orphaned descendants ours. The descriptor tells of SIGCHLD, SIGTERM and SIGINT; -1. */
int system_prepare(void);
/* Takes the signals that came; true when one of them asks us to end. */
bool system_take_signals(int fd);
/* A descriptor that tells of new names in a folder; -1. */
int system_watch(const char *folder);
void system_take_events(int fd);
/* A descriptor that tells when a process ends; -1 where there is none such. */
int system_process_descriptor(const struct process *process);
/* Waits until one of the descriptors (-1: none) tells something, or the time is over. */
void system_wait(const int *fds, size_t count, int64_t timeout_ms);

/* How a child ended. */
struct system_end {
    int32_t id; /* 0: none did */
    int32_t exit_code;
    int32_t signal;
    int64_t peak_bytes;
};

/* A child that has ended, if there is one; without wait it only looks. *alone tells that there are no children at all. */
struct system_end system_reap(bool wait, bool *alone);

/* ms since boot, suspended time included: the clock that start times of processes are of. */
int64_t system_now(void);
int64_t system_wall(void);
int64_t system_start_ms(const struct process *process);
/* How often the system killed a process for want of memory; -1 unknown. */
int64_t system_memory_kills(void);

/* Moves a descriptor that was inherited away from its number; nothing that is started gets it. -1 when that fails. */
int system_own_descriptor(int fd);
/* Does the path name the open file? Where that cannot be told, it does. */
bool system_is_at(int fd, const char *path);
/* The path that the open file has now; false where the system does not know it. */
bool system_find(int fd, char *path, size_t size);
/* The lock that came with it is held; true also where the file system has no locks. */
bool system_holds_lock(int fd);

/* The first port of those that are given out to whoever asks for any; what is below it is left alone. */
int32_t system_first_ephemeral_port(void);
/*
 * A socket that keeps a port of the loopback device without listening; -1 when the port is taken. A server that sets
 * SO_REUSEADDR or SO_REUSEPORT can have the port all the same, whoever asks for any free one cannot.
 */
int system_hold_port(int32_t port);

#endif
