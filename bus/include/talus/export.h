// SPDX-License-Identifier: MIT
// Marks what the shared library exports, and the attributes that every public function bears.
#ifndef TALUS_EXPORT_H
#define TALUS_EXPORT_H

#ifdef __cplusplus
#define TALUS_BEGIN_DECLS extern "C" {
#define TALUS_END_DECLS   }
#else
#define TALUS_BEGIN_DECLS
#define TALUS_END_DECLS
#endif

#if defined(__GNUC__)
#define TALUS_API           __attribute__((visibility("default")))
#define TALUS_MUST_USE      __attribute__((warn_unused_result))
#define TALUS_MAY_BE_UNUSED __attribute__((unused))
#else
#define TALUS_API
#define TALUS_MUST_USE
#define TALUS_MAY_BE_UNUSED
#endif

#endif
