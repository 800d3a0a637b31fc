/* How many CPUs this process may use: the fewest of those that exist, its affinity mask and its cgroup's
 * quota. */
#define _GNU_SOURCE
#include "pool.h"

#include <stdio.h>
#include <string.h>

#ifdef _WIN32
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#else
#include <unistd.h>
#endif

#ifdef __linux__
#include <sched.h>

/* Reads up to two numbers; "max" reads as -1. Returns how many there were. */
static int read_numbers(const char *path, long long number[2]) {
    char text[64] = "";
    FILE *file = fopen(path, "r");
    if (!file)
        return 0;
    size_t length = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[length] = 0;
    if (!strncmp(text, "max", 3)) {
        number[0] = -1;
        return 1 + (sscanf(text + 3, "%lld", &number[1]) == 1);
    }
    int count = sscanf(text, "%lld %lld", &number[0], &number[1]);
    return count < 0 ? 0 : count;
}

/* The fewer of `cpus` and quota / period, rounded down: a thread more than the quota pays for would be
 * throttled. */
static int limited(int cpus, long long quota, long long period) {
    if (quota <= 0 || period <= 0 || quota / period >= cpus)
        return cpus;
    return quota < period ? 1 : (int)(quota / period);
}

/* Version 2: cpu.max of the cgroup and of all above it. `path` is what /proc/self/cgroup names; it is cut
 * down. */
static int limit_of_cgroup(int cpus, char *path) {
    for (;;) {
        char name[4200];
        long long number[2];
        snprintf(name, sizeof name, "/sys/fs/cgroup%s/cpu.max", path);
        if (read_numbers(name, number) == 2)
            cpus = limited(cpus, number[0], number[1]);
        char *slash = strrchr(path, '/');
        if (!slash)
            return cpus;
        *slash = 0;
    }
}

static int limit_of_cgroups(int cpus) {
    char line[4096];
    long long quota[2], period[2];
    FILE *file = fopen("/proc/self/cgroup", "r");
    while (file && fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = 0;
        if (!strncmp(line, "0::", 3))
            cpus = limit_of_cgroup(cpus, line + 3);
    }
    if (file)
        fclose(file);
    if (read_numbers("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", quota) == 1 && /* version 1 */
        read_numbers("/sys/fs/cgroup/cpu/cpu.cfs_period_us", period) == 1)
        cpus = limited(cpus, quota[0], period[0]);
    return cpus;
}
#endif

#ifdef _WIN32
static int online(void) {
    DWORD_PTR allowed = 0, all = 0; /* of the group of 64 in which the process is */
    GetProcessAffinityMask(GetCurrentProcess(), &allowed, &all);
    return __builtin_popcountll(allowed);
}
#else
static int online(void) { return (int)sysconf(_SC_NPROCESSORS_ONLN); }
#endif

int tr_available_cpus(void) {
    int cpus = online();
    if (cpus < 1)
        cpus = 1;
#ifdef __linux__
    cpu_set_t allowed; /* holds 1024; the call fails on larger machines, and then the number online stands */
    if (sched_getaffinity(0, sizeof allowed, &allowed) == 0 && CPU_COUNT(&allowed) < cpus)
        cpus = CPU_COUNT(&allowed);
    cpus = limit_of_cgroups(cpus);
#endif
    return cpus;
}
