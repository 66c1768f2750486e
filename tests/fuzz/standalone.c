// Runs a fuzz target over files and folders instead of under libFuzzer: the kept corpus as a regression test.
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned files;

static int run_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    static uint8_t buffer[1 << 20];
    if (file == NULL) {
        perror(path);
        return -1;
    }
    size_t size = fread(buffer, 1, sizeof buffer, file);
    fclose(file);
    // An exact copy on the heap, so that valgrind and ASan see a read one byte too far.
    uint8_t *data = malloc(size > 0 ? size : 1);
    if (data == NULL)
        return -1;
    memcpy(data, buffer, size);
    LLVMFuzzerTestOneInput(data, size);
    free(data);
    files++;
    return 0;
}

static int run_folder(const char *path)
{
    DIR *folder = opendir(path);
    int status = 0;
    if (folder == NULL) {
        perror(path);
        return -1;
    }
    for (struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        char name[4096];
        if (entry->d_name[0] == '.')
            continue;
        snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        status |= run_file(name);
    }
    closedir(folder);
    return status;
}

int main(int argc, char **argv)
{
    int status = 0;
    for (int i = 1; i < argc; i++) {
        struct stat st;
        if (stat(argv[i], &st) == 0 && S_ISDIR(st.st_mode))
            status |= run_folder(argv[i]);
        else
            status |= run_file(argv[i]);
    }
    printf("%u inputs\n", files);
    return status == 0 && files > 0 ? 0 : 1;
}
