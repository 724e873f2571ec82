# SPDX-License-Identifier: MIT
cmake_minimum_required(VERSION 3.25)
project(consumer C)
find_package(talus REQUIRED)
add_executable(service service.c)
target_link_libraries(service PRIVATE talus::talus)
