/*
 * See symbols.h. dladdr(3) finds only dynamic symbols, so no functions of the program itself. Those
 * are looked up in the symbol table of the executable (elf(5), SHT_SYMTAB), which exists unless the
 * file was stripped.
 *
 * Does not trust the executable: a table that is not within the file is ignored.
 */
#include "master/symbols.h"

#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct image {
    const uint8_t *at;
    size_t size;
};

/* Maps the running executable, even if its file was replaced since. Mapped once and never freed. */
static const struct image *map_own_image(void)
{
    static struct image image;
    struct stat file;
    if (image.at)
        return &image;
    const int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    if (fd == -1)
        return NULL;
    if (fstat(fd, &file) == 0) {
        void *at = mmap(NULL, (size_t)file.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (at != MAP_FAILED)
            image = (struct image){at, (size_t)file.st_size};
    }
    close(fd);
    return image.at ? &image : NULL;
}

static const void *pointer_within(const struct image *image, uint64_t offset, uint64_t size)
{
    return offset <= image->size && size <= image->size - offset ? image->at + offset : NULL;
}

/* Returns the function in a symbol table that contains the offset, or NULL. `names`: the table's
 * strings. */
static const char *find_symbol(const struct image *image, const ElfW(Shdr) * table,
                               const ElfW(Shdr) * names, uint64_t offset)
{
    const ElfW(Sym) *symbol = pointer_within(image, table->sh_offset, table->sh_size);
    const char *text = pointer_within(image, names->sh_offset, names->sh_size);
    if (!symbol || !text || names->sh_size == 0 || text[names->sh_size - 1] != '\0')
        return NULL;
    for (size_t i = 0; i < table->sh_size / sizeof(*symbol); i++)
        if (ELF64_ST_TYPE(symbol[i].st_info) == STT_FUNC && symbol[i].st_value <= offset &&
            offset - symbol[i].st_value < symbol[i].st_size && symbol[i].st_name < names->sh_size)
            return text + symbol[i].st_name;
    return NULL;
}

static const char *find_own_function(uint64_t offset)
{
    const struct image *image = map_own_image();
    const ElfW(Ehdr) *head = image ? pointer_within(image, 0, sizeof(*head)) : NULL;
    const ElfW(Shdr) *section =
        head ? pointer_within(image, head->e_shoff, (uint64_t)head->e_shnum * sizeof(*section))
             : NULL;
    for (size_t i = 0; section && i < head->e_shnum; i++)
        if (section[i].sh_type == SHT_SYMTAB && section[i].sh_link < head->e_shnum)
            return find_symbol(image, &section[i], &section[section[i].sh_link], offset);
    return NULL;
}

static bool is_own_file(const Dl_info *info)
{
    static const char here;
    Dl_info own;
    return dladdr(&here, &own) && own.dli_fbase == info->dli_fbase;
}

static const char *base_file_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

size_t symbols_name(uint64_t address, char *out, size_t size)
{
    Dl_info info;
    int len;
    /* NOLINTNEXTLINE(performance-no-int-to-ptr): an address of another process */
    if (!dladdr((const void *)(uintptr_t)address, &info)) {
        len = snprintf(out, size, "0x%llx", (unsigned long long)address);
    } else {
        const uint64_t offset = address - (uint64_t)(uintptr_t)info.dli_fbase;
        const bool own = is_own_file(&info);
        const char *function = own ? find_own_function(offset) : info.dli_sname;
        len =
            snprintf(out, size, "%s(%s+0x%llx)", function ? function : "",
                     own ? "wspushd" : base_file_name(info.dli_fname), (unsigned long long)offset);
    }
    return len < 0 || size == 0 ? 0 : (size_t)len < size ? (size_t)len : size - 1;
}
