/*
 * See build_id.h. The id is an ELF note (elf(5), NT_GNU_BUILD_ID) in a loaded PT_NOTE segment of
 * the program, which dl_iterate_phdr(3) reports before all libraries.
 */
#include "common/build_id.h"

#include <link.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* Rounds up to 4 bytes: a note is a header, a padded name and a padded description. */
static size_t padded_size(size_t len)
{
    return (len + 3) & ~(size_t)3;
}

static bool is_build_id(const ElfW(Nhdr) * note)
{
    static const char owner[] = ELF_NOTE_GNU;
    return note->n_type == NT_GNU_BUILD_ID && note->n_namesz == sizeof(owner) &&
           memcmp(note + 1, owner, sizeof(owner)) == 0;
}

static bool find_in_notes(const uint8_t *at, size_t size, uint8_t out[BUILD_ID_SIZE])
{
    while (size >= sizeof(ElfW(Nhdr))) {
        const ElfW(Nhdr) *note = (const void *)at;
        const size_t head = sizeof(*note) + padded_size(note->n_namesz);
        const size_t whole = head + padded_size(note->n_descsz);
        if (whole > size)
            break;
        if (is_build_id(note)) {
            memcpy(out, at + head, note->n_descsz < BUILD_ID_SIZE ? note->n_descsz : BUILD_ID_SIZE);
            return true;
        }
        at += whole;
        size -= whole;
    }
    return false;
}

static int find_in_program(struct dl_phdr_info *info, size_t size, void *out)
{
    (void)size;
    for (size_t i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        const uintptr_t at = info->dlpi_addr + segment->p_vaddr;
        /* NOLINTNEXTLINE(performance-no-int-to-ptr): elf(5) gives the address as a number */
        if (segment->p_type == PT_NOTE && find_in_notes((const uint8_t *)at, segment->p_memsz, out))
            break;
    }
    return 1; /* stop: the libraries do not matter */
}

void build_id(uint8_t out[BUILD_ID_SIZE])
{
    memset(out, 0, BUILD_ID_SIZE);
    dl_iterate_phdr(find_in_program, out);
}

void build_id_text(const uint8_t id[BUILD_ID_SIZE], char out[BUILD_ID_TEXT])
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < BUILD_ID_SIZE; i++) {
        out[2 * i] = digits[id[i] >> 4];
        out[2 * i + 1] = digits[id[i] & 15];
    }
    out[BUILD_ID_TEXT - 1] = '\0';
}
