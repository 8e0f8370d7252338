/*
 * Typed lines. A line stays in the buffer until it can be executed, so that lines piped in before
 * the server is ready are neither lost nor sent too early. While a line is pending, stdin is not
 * read, and the pipe blocks its writer.
 */
#include "tools/wspush_input.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum { READ_SIZE = 65536, FILE_MAX_BYTES = 16 << 20 };

bool opcode_parse(const char *text, size_t len, uint32_t *op)
{
    uint64_t value = 0;
    for (size_t i = 0; i < len; i++) {
        if (!isdigit((unsigned char)text[i]) || len > 10)
            return false;
        value = value * 10 + (uint64_t)(text[i] - '0');
    }
    *op = (uint32_t)value;
    return len > 0 && value <= UINT32_MAX;
}

static const char *read_payload_file(struct buffer *out, const char *path)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd == -1)
        return strerror(errno);
    const char *wrong = NULL;
    for (;;) {
        const ssize_t got = read(fd, buffer_space(out, READ_SIZE), READ_SIZE);
        if (got > 0)
            buffer_grew(out, (size_t)got);
        else if (got == -1)
            wrong = strerror(errno);
        if (out->len > FILE_MAX_BYTES)
            wrong = "the file is larger than 16 MiB";
        if (got <= 0 || wrong != NULL)
            break;
    }
    close(fd);
    return wrong;
}

static int hex_digit_value(char c)
{
    if (isdigit((unsigned char)c))
        return c - '0';
    return isxdigit((unsigned char)c) ? tolower((unsigned char)c) - 'a' + 10 : -1;
}

static const char *read_hex_payload(struct buffer *out, const char *text)
{
    for (; *text != '\0'; text += 2) {
        const int high = hex_digit_value(text[0]);
        const int low = high == -1 ? -1 : hex_digit_value(text[1]);
        if (low == -1)
            return "hex: must be followed by pairs of hexadecimal digits";
        buffer_append(out, &(uint8_t){(uint8_t)(high << 4 | low)}, 1);
    }
    return NULL;
}

static const char *read_text_payload(struct buffer *out, const char *text)
{
    buffer_text(out, text);
    return NULL;
}

const char *payload_parse(struct buffer *out, const char *text)
{
    static const struct {
        const char *prefix;
        const char *(*read)(struct buffer *out, const char *text);
    } forms[] = {{"@", read_payload_file},
                 {"hex:", read_hex_payload},
                 {"text:", read_text_payload},
                 {"", read_text_payload}};

    for (size_t i = 0;; i++) {
        const size_t len = strlen(forms[i].prefix);
        if (strncmp(text, forms[i].prefix, len) == 0)
            return forms[i].read(out, text + len);
    }
}

static const struct {
    const char *word, *args, *help;
    enum command_kind kind;
} commands[] = {
#define COMMAND_ROW(name, word, args, help) {word, args, help, COMMAND_##name},
    COMMANDS(COMMAND_ROW)
#undef COMMAND_ROW
};
enum { COMMAND_ROWS = sizeof(commands) / sizeof(commands[0]) };

void commands_describe(FILE *out)
{
    fprintf(out, "  %-8s %-20s %s\n", "110", "PAYLOAD", "send opcode 110 with this payload");
    for (size_t i = 0; i < COMMAND_ROWS; i++)
        fprintf(out, "  %-8s %-20s %s\n", commands[i].word, commands[i].args, commands[i].help);
}

static const char *skip_leading_spaces(const char *text)
{
    return text + strspn(text, " \t");
}

static const char *parse_close_command(struct command *command, const char *args)
{
    const size_t len = strcspn(args, " \t");
    uint32_t code = 1000;
    if (len > 0 && (!opcode_parse(args, len, &code) || code > UINT16_MAX))
        return "a close code must be a number below 65536";
    command->code = (uint16_t)code;
    buffer_text(&command->payload, skip_leading_spaces(args + len));
    return command->payload.len > 123 ? "a reason must not exceed 123 bytes" : NULL;
}

static const char *parse_ping_command(struct command *command, const char *args)
{
    buffer_text(&command->payload, args);
    return command->payload.len > 125 ? "a ping must not exceed 125 bytes" : NULL;
}

static const char *parse_slash_command(struct command *command, const char *line)
{
    const size_t len = strcspn(line, " \t");
    const char *args = skip_leading_spaces(line + len);
    for (size_t i = 0; i < COMMAND_ROWS; i++) {
        if (strlen(commands[i].word) != len || memcmp(commands[i].word, line, len) != 0)
            continue;
        command->kind = commands[i].kind;
        if (command->kind == COMMAND_CLOSE)
            return parse_close_command(command, args);
        return command->kind == COMMAND_PING ? parse_ping_command(command, args) : NULL;
    }
    return "no such command; /help lists all commands";
}

static const char *parse_message_line(struct command *command, const char *line)
{
    const size_t len = strcspn(line, " \t");
    command->kind = COMMAND_MESSAGE;
    if (!opcode_parse(line, len, &command->op))
        return "a line must start with an opcode, as in: 110 hello (/help)";
    const char *payload = line + len;
    return payload_parse(&command->payload, *payload == '\0' ? payload : payload + 1);
}

void command_parse(struct command *command, const char *line, bool echo)
{
    const char *mistake = NULL;
    if (line[0] == '/' && !(echo && line[1] == '/')) {
        mistake = parse_slash_command(command, line);
    } else if (echo) {
        command->kind = COMMAND_MESSAGE;
        buffer_text(&command->payload, line[0] == '/' ? line + 1 : line);
    } else if (*skip_leading_spaces(line) != '\0') {
        mistake = parse_message_line(command, skip_leading_spaces(line));
    }
    if (mistake != NULL) {
        command->kind = COMMAND_MISTAKE;
        command->mistake = mistake;
    }
}

void input_read(struct input *input)
{
    const ssize_t got = read(STDIN_FILENO, buffer_space(&input->text, READ_SIZE), READ_SIZE);
    if (got > 0)
        buffer_grew(&input->text, (size_t)got);
    else if (got == 0 || (errno != EAGAIN && errno != EINTR))
        input->eof = true;
}

const char *input_line(struct input *input)
{
    if (input->line > 0 || input->text.len == 0)
        return input->line > 0 ? (const char *)input->text.at : NULL;
    if (input->eof && input->text.at[input->text.len - 1] != '\n')
        buffer_text(&input->text, "\n");
    uint8_t *text = input->text.at, *end = memchr(text, '\n', input->text.len);
    if (end == NULL)
        return NULL;
    input->line = (size_t)(end - text) + 1;
    *end = '\0';
    if (end > text && end[-1] == '\r')
        end[-1] = '\0';
    return (const char *)text;
}

void input_next(struct input *input)
{
    buffer_drop(&input->text, input->line);
    input->line = 0;
}
