/* What a disk would hold if the power went now.
 *
 * Preloaded into the process under test (LD_PRELOAD), this remembers apart from the real files, in
 * TIDERACE_POWER_SHADOW, what the process has made durable under TIDERACE_POWER_ROOT: of a
 * file what it held when it was last synced, of a folder the names it held when it was last
 * synced. Nothing else counts: not what was written, not a file whose folder was not synced, not
 * a rename. The test kills the process and then puts the shadow in the place of the files.
 *
 *   shadow/ids         a line "ID INODE" for everything that was met; the last of an inode counts
 *   shadow/file-ID     the durable bytes
 *   shadow/folder-ID   a line "d|f ID NAME" for every durable name
 *   shadow/root        the ID of the root
 *
 * Numbers of their own, because an inode's comes back for another file. What is there when the
 * process starts is durable. TIDERACE_POWER_PLANT=nosync makes every sync remember nothing: a
 * harness that finds no loss then is broken. The real sync is left out: it would only cost time.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MOST 65536
#define WHOLE (64 << 10)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* Long enough for any name made of another. */
#define LONG (2 * PATH_MAX)

static char root[PATH_MAX], shadow[PATH_MAX];
static size_t root_length;
static dev_t device;
static int on, plant;
static struct { ino_t inode; long id; } met[MOST];
static size_t count;
static long next_id = 1;
static FILE *ids;

static int (*real_open)(const char *, int, ...);
static int (*real_openat)(int, const char *, int, ...);
static int (*real_mkdir)(const char *, mode_t);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);

static void fail(const char *what) {
    fprintf(stderr, "forget.so: %s: %s\n", what, strerror(errno));
    abort();
}

/* The number of an inode; a new one where there is none or the file is new. */
static long identify(ino_t inode, int anew) {
    size_t place = 0;
    while (place < count && met[place].inode != inode) place++;
    if (place < count && !anew) return met[place].id;
    if (place == count && ++count > MOST) { errno = ENOSPC; fail("too many files"); }
    met[place].inode = inode;
    met[place].id = next_id++;
    fprintf(ids, "%ld %lu\n", met[place].id, (unsigned long)inode);
    fflush(ids);
    return met[place].id;
}

static void shadow_of(char *path, const char *kind, long id) {
    snprintf(path, LONG, "%s/%s-%ld", shadow, kind, id);
}

/* Remembers the bytes of an open file: all of them, or of a long one what came since. */
static void remember_file(int fd, long id, off_t size) {
    char path[LONG];
    shadow_of(path, "file", id);
    int out = real_open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    if (out < 0) fail(path);
    struct stat held;
    if (fstat(out, &held)) fail(path);
    off_t from = held.st_size < size ? held.st_size : size;
    from = size <= WHOLE || from < WHOLE ? 0 : from - WHOLE;
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    /* A descriptor that may read, whatever this one may. */
    int in = real_open(link, O_RDONLY | O_CLOEXEC);
    if (in < 0) fail(link);
    static char chunk[1 << 20];
    while (from < size) {
        size_t most = size - from < (off_t)sizeof chunk ? (size_t)(size - from) : sizeof chunk;
        ssize_t got = pread(in, chunk, most, from);
        if (got < 0) fail("read");
        if (got == 0) break;
        if (pwrite(out, chunk, got, from) != got) fail("write");
        from += got;
    }
    if (ftruncate(out, from)) fail("truncate");
    close(in);
    close(out);
}

/* Remembers the names in a folder. */
static void remember_folder(const char *path, long id) {
    char held[LONG], fresh[LONG + 4];
    shadow_of(held, "folder", id);
    snprintf(fresh, sizeof fresh, "%s.new", held);
    FILE *out = fopen(fresh, "we");
    DIR *names = opendir(path);
    if (!out || !names) fail(path);
    struct dirent *entry;
    while ((entry = readdir(names))) {
        struct stat data;
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
        if (fstatat(dirfd(names), entry->d_name, &data, AT_SYMLINK_NOFOLLOW)) continue;
        fprintf(out, "%c %ld %s\n", S_ISDIR(data.st_mode) ? 'd' : 'f', identify(data.st_ino, 0),
                entry->d_name);
    }
    closedir(names);
    fclose(out);
    if (rename(fresh, held)) fail(held);
}

/* Remembers everything under a folder. */
static void remember_all(const char *path) {
    struct stat data;
    if (stat(path, &data)) fail(path);
    remember_folder(path, identify(data.st_ino, 0));
    DIR *names = opendir(path);
    if (!names) fail(path);
    struct dirent *entry;
    while ((entry = readdir(names))) {
        char below[PATH_MAX + 256];
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
        snprintf(below, sizeof below, "%s/%s", path, entry->d_name);
        if (lstat(below, &data)) continue;
        if (S_ISDIR(data.st_mode)) {
            remember_all(below);
        } else if (S_ISREG(data.st_mode)) {
            int fd = real_open(below, O_RDONLY | O_CLOEXEC);
            if (fd < 0) fail(below);
            remember_file(fd, identify(data.st_ino, 0), data.st_size);
            close(fd);
        }
    }
    closedir(names);
}

static void begin(void) {
    static int begun;
    if (begun) return;
    begun = 1;
    real_open = dlsym(RTLD_NEXT, "open64");
    real_openat = dlsym(RTLD_NEXT, "openat64");
    real_mkdir = dlsym(RTLD_NEXT, "mkdir");
    real_fsync = dlsym(RTLD_NEXT, "fsync");
    real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
}

__attribute__((constructor)) static void start(void) {
    begin();
    const char *named = getenv("TIDERACE_POWER_ROOT"), *kept = getenv("TIDERACE_POWER_SHADOW");
    if (!named || !kept) return;
    const char *planted = getenv("TIDERACE_POWER_PLANT");
    plant = planted && !strcmp(planted, "nosync");
    snprintf(root, sizeof root, "%s", named);
    snprintf(shadow, sizeof shadow, "%s", kept);
    root_length = strlen(root);
    char path[PATH_MAX + 8];
    snprintf(path, sizeof path, "%s/ids", shadow);
    ids = fopen(path, "we");
    struct stat data;
    if (!ids || stat(root, &data)) fail(path);
    device = data.st_dev;
    snprintf(path, sizeof path, "%s/root", shadow);
    FILE *top = fopen(path, "we");
    if (!top) fail(path);
    fprintf(top, "%ld\n", identify(data.st_ino, 0));
    fclose(top);
    remember_all(root);
    on = 1;
}

static int ours(const char *path) {
    return on && !strncmp(path, root, root_length) && (path[root_length] == '/' || !path[root_length]);
}

/* Opens, and gives what is made by it a number of its own. */
static int open_ours(const char *path, int flags, mode_t mode) {
    pthread_mutex_lock(&lock);
    struct stat data;
    int anew = (flags & O_CREAT) && stat(path, &data) && errno == ENOENT;
    int fd = real_open(path, flags, mode);
    int error = errno;
    if (fd >= 0 && !fstat(fd, &data)) identify(data.st_ino, anew);
    pthread_mutex_unlock(&lock);
    errno = error;
    return fd;
}

#define OPEN(name)                                          \
    int name(const char *path, int flags, ...) {            \
        mode_t mode = 0;                                    \
        if (flags & (O_CREAT | O_TMPFILE)) {                \
            va_list more;                                   \
            va_start(more, flags);                          \
            mode = va_arg(more, mode_t);                    \
            va_end(more);                                   \
        }                                                   \
        begin();                                            \
        if (ours(path)) return open_ours(path, flags, mode); \
        return real_open(path, flags, mode);                \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                          \
    int name(int at, const char *path, int flags, ...) {      \
        mode_t mode = 0;                                      \
        if (flags & (O_CREAT | O_TMPFILE)) {                  \
            va_list more;                                     \
            va_start(more, flags);                            \
            mode = va_arg(more, mode_t);                      \
            va_end(more);                                     \
        }                                                     \
        begin();                                              \
        if (ours(path)) return open_ours(path, flags, mode);   \
        return real_openat(at, path, flags, mode);            \
    }
OPENAT(openat)
OPENAT(openat64)

int mkdir(const char *path, mode_t mode) {
    begin();
    if (!ours(path)) return real_mkdir(path, mode);
    pthread_mutex_lock(&lock);
    int made = real_mkdir(path, mode), error = errno;
    struct stat data;
    if (!made && !stat(path, &data)) identify(data.st_ino, 1);
    pthread_mutex_unlock(&lock);
    errno = error;
    return made;
}

static int sync_ours(int fd, int (*real)(int)) {
    struct stat data;
    if (!on || fstat(fd, &data) || data.st_dev != device) return real(fd);
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return real(fd);
    path[length] = 0;
    if (!ours(path)) return real(fd);
    if (plant) return 0;
    pthread_mutex_lock(&lock);
    long id = identify(data.st_ino, 0);
    if (S_ISDIR(data.st_mode)) remember_folder(path, id);
    else remember_file(fd, id, data.st_size);
    pthread_mutex_unlock(&lock);
    return 0;
}

int fsync(int fd) {
    begin();
    return sync_ours(fd, real_fsync);
}

int fdatasync(int fd) {
    begin();
    return sync_ours(fd, real_fdatasync);
}
