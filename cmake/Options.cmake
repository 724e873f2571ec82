# SPDX-License-Identifier: MIT
# What a build may choose, and the compiler settings that all of the project's own targets share.
option(TALUS_TESTS "Build the tests" ${PROJECT_IS_TOP_LEVEL})
option(TALUS_FUZZ "Build the libFuzzer targets (clang only)" OFF)
option(TALUS_WERROR "Treat warnings as errors" ${PROJECT_IS_TOP_LEVEL})
# With them, `perf record -g` and probes find the callers at no cost of their own; they are one in twenty of our
# instructions (scripts/guard).
option(TALUS_FRAME_POINTERS "Keep frame pointers in every build" ON)
option(TALUS_COVERAGE "Count which lines and branches run (gcc; scripts/coverage)" OFF)
set(TALUS_SANITIZE "" CACHE STRING "Sanitizers: empty, address (with undefined) or thread")
set_property(CACHE TALUS_SANITIZE PROPERTY STRINGS "" address thread)

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Build type" FORCE)
endif()

set(CMAKE_C_STANDARD 17)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_C_VISIBILITY_PRESET hidden)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bin)
set(CMAKE_LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/lib)
set(CMAKE_ARCHIVE_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/lib)

add_library(talus_build INTERFACE)
target_compile_definitions(talus_build INTERFACE _GNU_SOURCE)
target_compile_options(talus_build INTERFACE
  -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wcast-qual
  -Wwrite-strings -Wformat=2 -Wundef -Wvla -Wno-missing-field-initializers
  $<$<BOOL:${TALUS_WERROR}>:-Werror>
  -fno-strict-aliasing -fstack-protector-strong
  $<$<BOOL:${TALUS_FRAME_POINTERS}>:-fno-omit-frame-pointer>
  $<$<NOT:$<CONFIG:Debug>>:-D_FORTIFY_SOURCE=2>)
target_link_options(talus_build INTERFACE -Wl,-z,relro,-z,now)

if(TALUS_SANITIZE STREQUAL "address")
  add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=address,undefined)
elseif(TALUS_SANITIZE STREQUAL "thread")
  add_compile_options(-fsanitize=thread -fno-omit-frame-pointer)
  add_link_options(-fsanitize=thread)
elseif(TALUS_SANITIZE)
  message(FATAL_ERROR "TALUS_SANITIZE is '${TALUS_SANITIZE}': empty, address or thread")
endif()

if(TALUS_COVERAGE)
  add_compile_options(--coverage -fprofile-update=atomic -O0)
  add_link_options(--coverage)
endif()
