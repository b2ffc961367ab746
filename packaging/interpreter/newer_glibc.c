/* What Debian 13's static libraries ask of its glibc (2.41), and Debian 11's (2.31) does not have. */

#include <stddef.h>
#include <stdlib.h>
#include <sys/random.h>

long __isoc23_strtol(const char *text, char **end, int base);
void arc4random_buf(void *buffer, size_t length);

/* The name by which headers call strtol from 2.38 on. It also takes "0b" for binary, which nothing here asks of it. */
long __isoc23_strtol(const char *text, char **end, int base)
{
    return strtol(text, end, base);
}

/* From 2.36 on: random bytes from the kernel, or the end of the process. libexpat asks for the salt of its hash tables. */
void arc4random_buf(void *buffer, size_t length)
{
    for (size_t done = 0; done < length;) {
        ssize_t got = getrandom((char *)buffer + done, length - done, 0);
        if (got < 0)
            abort();
        done += (size_t)got;
    }
}
