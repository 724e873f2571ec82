# SPDX-License-Identifier: MIT
# What `cmake --install` puts where: programs, libtalus (shared and static), its headers, a pkg-config
# file, a CMake package, and the live page if it was built.
include(CMakePackageConfigHelpers)

install(TARGETS talus talus_static
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY bus/include/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
  FILES_MATCHING PATTERN "*.h" PATTERN "*.def")
install(DIRECTORY clients/web/dist/ DESTINATION ${CMAKE_INSTALL_DATADIR}/talus/page OPTIONAL)

# Told from where the file is, so that `cmake --install --prefix` may put it anywhere.
file(RELATIVE_PATH TALUS_PC_TO_PREFIX
  ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
string(REGEX REPLACE "/$" "" TALUS_PC_TO_PREFIX ${TALUS_PC_TO_PREFIX})
configure_file(cmake/talus.pc.in talus.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/talus.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

configure_package_config_file(cmake/talus-config.cmake.in talus-config.cmake
  INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/talus
  PATH_VARS CMAKE_INSTALL_INCLUDEDIR CMAKE_INSTALL_LIBDIR)
write_basic_package_version_file(talus-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/talus-config.cmake ${PROJECT_BINARY_DIR}/talus-config-version.cmake
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/talus)
