// SPDX-License-Identifier: MIT
// Probes that tracers attach to while a program runs (USDT; docs/operations.md names them). One
// that nobody is attached to costs a `nop` and what its arguments cost. Without <sys/sdt.h> there
// are none.
#ifndef TALUS_BASE_PROBES_H
#define TALUS_BASE_PROBES_H

#if defined(__has_include)
#if __has_include(<sys/sdt.h>)
#include <sys/sdt.h>
#endif
#endif

#ifdef DTRACE_PROBE4
#define TALUS__PROBE3(name, a, b, c)       DTRACE_PROBE3(talus, name, (a), (b), (c))
#define TALUS__PROBE4(name, a, b, c, d)    DTRACE_PROBE4(talus, name, (a), (b), (c), (d))
#define TALUS__PROBE5(name, a, b, c, d, e) DTRACE_PROBE5(talus, name, (a), (b), (c), (d), (e))
#else
#define TALUS__PROBE3(name, a, b, c)       ((void)0)
#define TALUS__PROBE4(name, a, b, c, d)    ((void)0)
#define TALUS__PROBE5(name, a, b, c, d, e) ((void)0)
#endif

// An array as a pointer, which is what a tracer can read.
static inline const char *talus__probe_text(const char *text)
{
    return text;
}

#endif
