# SPDX-License-Identifier: MIT
# The libraries that the project stands on, all from the distribution.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
pkg_check_modules(ZMQ REQUIRED IMPORTED_TARGET libzmq>=4.3)
pkg_check_modules(CZMQ REQUIRED IMPORTED_TARGET libczmq>=4.2)
pkg_check_modules(UV REQUIRED IMPORTED_TARGET libuv>=1.40)
pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET jansson>=2.13)
pkg_check_modules(CRYPTO REQUIRED IMPORTED_TARGET libcrypto>=1.1)

# msgpack-c has no pkg-config module of one name: "msgpack" up to 4, "msgpack-c" from 5.
pkg_search_module(MSGPACK REQUIRED IMPORTED_TARGET msgpack-c msgpack)

# llhttp where the system has it, else http_parser 2.9.
find_path(LLHTTP_INCLUDE_DIR llhttp.h)
find_library(LLHTTP_LIBRARY llhttp)
find_path(HTTP_PARSER_INCLUDE_DIR http_parser.h)
find_library(HTTP_PARSER_LIBRARY http_parser)
add_library(talus_http_parser INTERFACE)
if(LLHTTP_INCLUDE_DIR AND LLHTTP_LIBRARY)
  target_include_directories(talus_http_parser SYSTEM INTERFACE ${LLHTTP_INCLUDE_DIR})
  target_link_libraries(talus_http_parser INTERFACE ${LLHTTP_LIBRARY})
  target_compile_definitions(talus_http_parser INTERFACE TALUS_HAVE_LLHTTP=1)
elseif(HTTP_PARSER_INCLUDE_DIR AND HTTP_PARSER_LIBRARY)
  target_include_directories(talus_http_parser SYSTEM INTERFACE ${HTTP_PARSER_INCLUDE_DIR})
  target_link_libraries(talus_http_parser INTERFACE ${HTTP_PARSER_LIBRARY})
  target_compile_definitions(talus_http_parser INTERFACE TALUS_HAVE_LLHTTP=0)
else()
  message(FATAL_ERROR "neither llhttp nor http_parser was found (libllhttp-dev or libhttp-parser-dev)")
endif()
