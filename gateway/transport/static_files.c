// SPDX-License-Identifier: MIT
// Static files. Invariant: what is served is exactly what was read at start; a request's path only
// picks an entry of the sorted table, it is never given to the file system.
#include "gateway/transport/static_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/evp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/hex.h"
#include "gateway/base/log.h"

enum {
    TOTAL_MAX = 16 * 1024 * 1024,
    FILES_MAX = 4096,
    DEPTH_MAX = 16,
    NAME_MAX_BYTES = 512, // of a path as it is asked for
    ETAG_SIZE = 34,       // two quotes, 128 bits in hexadecimal
    HASH_MIN = 8,         // characters of the hash in an asset's name
};

struct file {
    char *name; // "/assets/index-B1Poevsd.css"
    struct chunk *content;
    const char *type;
    char etag[ETAG_SIZE + 1];
};

struct static_files {
    struct file *files; // sorted by name
    size_t count;
    size_t bytes;
    char root[PATH_MAX]; // resolved; while loading
};

// ---- Headers of a file

static const char *content_type(const char *name)
{
    static const struct {
        const char *ending;
        const char *type;
    } types[] = {
        {".html", "text/html; charset=utf-8"},
        {".js", "text/javascript; charset=utf-8"},
        {".mjs", "text/javascript; charset=utf-8"},
        {".css", "text/css; charset=utf-8"},
        {".json", "application/json"},
        {".map", "application/json"},
        {".svg", "image/svg+xml"},
        {".png", "image/png"},
        {".jpg", "image/jpeg"},
        {".ico", "image/x-icon"},
        {".webp", "image/webp"},
        {".woff2", "font/woff2"},
        {".wasm", "application/wasm"},
        {".webmanifest", "application/manifest+json"},
        {".txt", "text/plain; charset=utf-8"},
    };
    const char *dot = strrchr(name, '.');
    for (size_t i = 0; dot && i < sizeof types / sizeof types[0]; i++)
        if (strcasecmp(dot, types[i].ending) == 0)
            return types[i].type;
    return "application/octet-stream";
}

static bool is_page(const struct file *file)
{
    return strncmp(file->type, "text/html", 9) == 0;
}

// "/assets/NAME-HASH.ENDING": a build that changes the file gives it another name.
static bool is_immutable(const char *name)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                   "0123456789_-";
    if (strncmp(name, "/assets/", 8) != 0)
        return false;
    const char *base = strrchr(name, '/') + 1;
    const char *dot = strrchr(base, '.');
    if (!dot || dot - base < HASH_MIN + 2 || dot[-HASH_MIN - 1] != '-')
        return false;
    return strspn(dot - HASH_MIN, alphabet) == HASH_MIN;
}

static bool make_etag(const struct chunk *content, char out[ETAG_SIZE + 1])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    if (EVP_Digest(content->bytes, content->size, digest, NULL, EVP_sha256(), NULL) != 1)
        return false;
    char *at = out;
    *at++ = '"';
    for (int i = 0; i < 16; i++, at += 2)
        tl_hex_write(digest[i], at);
    strcpy(at, "\"");
    return true;
}

// ---- Loading

static struct chunk *read_file(int fd, size_t size)
{
    struct chunk *content = chunk_new(size);
    while (content && content->size < size) {
        ssize_t got = read(fd, content->bytes + content->size, size - content->size);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) { // it shrank, or cannot be read
            errno = got == 0 ? EIO : errno;
            chunk_unref(content);
            return NULL;
        }
        content->size += (uint32_t)got;
    }
    return content;
}

// NULL on success, else what went wrong.
static const char *add_file(struct static_files *files, const char *path, int fd, size_t size)
{
    if (files->count == FILES_MAX)
        return "there are too many files";
    if (size > TOTAL_MAX - files->bytes)
        return "the files are larger than 16 MiB together";
    struct file *grown = realloc(files->files, (files->count + 1) * sizeof *grown);
    if (!grown)
        return strerror(ENOMEM);
    files->files = grown;
    struct file *file = &files->files[files->count];
    *file = (struct file){.name = strdup(path + strlen(files->root))};
    if (!file->name)
        return strerror(ENOMEM);
    files->count++; // freed with the others from here on
    file->content = read_file(fd, size);
    if (!file->content)
        return strerror(errno);
    files->bytes += size;
    file->type = content_type(file->name);
    return make_etag(file->content, file->etag) ? NULL : "SHA-256 failed";
}

static bool leads_out(const struct static_files *files, const char *path)
{
    char resolved[PATH_MAX];
    size_t root = strlen(files->root);
    return !realpath(path, resolved) || strncmp(resolved, files->root, root) != 0 ||
           resolved[root] != '/';
}

static const char *add_folder(struct static_files *files, const char *path, int depth);

static const char *add_entry(struct static_files *files, const char *path, int depth)
{
    struct stat status;
    if (leads_out(files, path)) {
        gw_log(GW_LOG_WARNING, "page",
               "%s is not served: the link is broken or leads out of the folder", path);
        return NULL;
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return strerror(errno);
    const char *wrong = NULL;
    if (fstat(fd, &status) != 0)
        wrong = strerror(errno);
    else if (S_ISDIR(status.st_mode))
        wrong = add_folder(files, path, depth + 1);
    else if (S_ISREG(status.st_mode))
        wrong = add_file(files, path, fd, (size_t)status.st_size);
    close(fd);
    return wrong;
}

static const char *add_folder(struct static_files *files, const char *path, int depth)
{
    DIR *folder = depth < DEPTH_MAX ? opendir(path) : NULL;
    if (!folder)
        return depth < DEPTH_MAX ? strerror(errno) : "its folders are nested too deeply";
    const char *wrong = NULL;
    struct dirent *entry;
    while (!wrong && (entry = readdir(folder))) {
        char child[PATH_MAX];
        if (entry->d_name[0] == '.')
            continue;
        int size = snprintf(child, sizeof child, "%s/%s", path, entry->d_name);
        wrong = size < (int)sizeof child ? add_entry(files, child, depth) : "a path is too long";
    }
    closedir(folder);
    return wrong;
}

static int compare_files(const void *a, const void *b)
{
    return strcmp(((const struct file *)a)->name, ((const struct file *)b)->name);
}

static const char *load(struct static_files *files, const char *folder)
{
    if (!realpath(folder, files->root))
        return strerror(errno);
    const char *wrong = add_folder(files, files->root, 0);
    if (!wrong && files->count > 0)
        qsort(files->files, files->count, sizeof *files->files, compare_files);
    return wrong;
}

struct static_files *static_files_load(const char *folder, char *error, size_t error_size)
{
    struct static_files *files = calloc(1, sizeof *files);
    const char *wrong = files ? load(files, folder) : strerror(ENOMEM);
    if (wrong) {
        snprintf(error, error_size, "cannot read the page from %s: %s", folder, wrong);
        static_files_destroy(&files);
    }
    return files;
}

void static_files_destroy(struct static_files **files_pointer)
{
    struct static_files *files = *files_pointer;
    *files_pointer = NULL;
    if (!files)
        return;
    for (size_t i = 0; i < files->count; i++) {
        if (files->files[i].content)
            chunk_unref(files->files[i].content);
        free(files->files[i].name);
    }
    free(files->files);
    free(files);
}

// ---- Answering

// Resolves percent-encoding; false if there is none such file in any case.
static bool decode_path(const char *path, char out[NAME_MAX_BYTES])
{
    size_t size = 0;
    for (; *path; path++) {
        int byte = (unsigned char)*path;
        if (*path == '%') {
            byte = tl_hex_byte(path + 1);
            if (byte <= 0)
                return false;
            path += 2;
        }
        if (size == NAME_MAX_BYTES - 1)
            return false;
        out[size++] = (char)byte;
    }
    out[size] = '\0';
    return true;
}

static const struct file *find_file(const struct static_files *files, const char *path)
{
    char name[NAME_MAX_BYTES];
    struct file key = {.name = name};
    if (files->count == 0 || !decode_path(path, name))
        return NULL;
    if (strcmp(name, "/") == 0)
        strcpy(name, "/index.html");
    return bsearch(&key, files->files, files->count, sizeof *files->files, compare_files);
}

// Whether a client that has the versions of `If-None-Match` has this one (RFC 9110, 13.1.2: the
// comparison is weak).
static bool is_matched(const struct http_request *request, const char *etag)
{
    const char *tags = http_request_header(request, "If-None-Match");
    if (!tags)
        return false;
    while (*tags) {
        tags += strspn(tags, ", \t");
        if (*tags == '*')
            return true;
        if (strncmp(tags, "W/", 2) == 0)
            tags += 2;
        if (strncmp(tags, etag, ETAG_SIZE) == 0)
            return true;
        // Commas may stand within the quotes of a tag.
        const char *end = *tags == '"' ? strchr(tags + 1, '"') : NULL;
        tags = end ? end + 1 : tags + strcspn(tags, ",");
    }
    return false;
}

static void write_headers(const struct file *file, char *out, size_t size)
{
    static const char policy[] =
        "Content-Security-Policy: default-src 'self'; connect-src 'self' ws: wss:; "
        "object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n"
        "Referrer-Policy: no-referrer\r\n";
    snprintf(out, size,
             "Content-Type: %s\r\nETag: %s\r\nCache-Control: %s\r\n"
             "X-Content-Type-Options: nosniff\r\n%s",
             file->type, file->etag,
             is_immutable(file->name) ? "public, max-age=31536000, immutable" : "no-cache",
             is_page(file) ? policy : "");
}

bool static_files_respond(const struct static_files *files, struct http_exchange *exchange,
                          const struct http_request *request)
{
    const struct file *file = find_file(files, request->path);
    if (!file)
        return false;
    if (request->method != HTTP_METHOD_GET && request->method != HTTP_METHOD_HEAD) {
        static const char text[] = "Only GET and HEAD are possible here\n";
        http_respond(exchange, 405,
                     "Allow: GET, HEAD\r\nContent-Type: text/plain; charset=utf-8\r\n", text,
                     sizeof text - 1, false);
        return true;
    }
    char headers[1024];
    write_headers(file, headers, sizeof headers);
    struct outq body;
    outq_init(&body);
    bool is_unchanged = is_matched(request, file->etag);
    if (!is_unchanged) // the first range of a queue needs no memory
        outq_append(&body, file->content, 0, file->content->size);
    http_respond_ranges(exchange, is_unchanged ? 304 : 200, headers, &body, false);
    return true;
}
