# SPDX-License-Identifier: MIT

# talus_layer(NAME SOURCES … DEPENDS …): a static library that is one layer of the gateway; the
# includes of its users start at the project's root ("common/buffer.h").
function(talus_layer name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPENDS" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_include_directories(${name} PUBLIC ${PROJECT_SOURCE_DIR})
  target_link_libraries(${name} PRIVATE talus_build PUBLIC ${ARG_DEPENDS})
endfunction()

# talus_program(NAME SOURCES … DEPENDS …): a program in build/bin.
function(talus_program name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPENDS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR})
  target_link_libraries(${name} PRIVATE talus_build ${ARG_DEPENDS})
endfunction()

# talus_test(NAME SOURCES … DEPENDS … [TIMEOUT seconds]): one cmocka program, known to ctest.
function(talus_test name)
  cmake_parse_arguments(ARG "" "TIMEOUT" "SOURCES;DEPENDS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR})
  target_link_libraries(${name} PRIVATE talus_build PkgConfig::CMOCKA ${ARG_DEPENDS})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
  add_test(NAME ${name} COMMAND ${name})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 180) # a busy machine is four times slower
  endif()
  set_tests_properties(${name} PROPERTIES TIMEOUT ${ARG_TIMEOUT} LABELS c)
endfunction()
