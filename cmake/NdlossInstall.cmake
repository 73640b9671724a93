# Installs the C++ library: headers, archive or shared object, `find_package(ndloss)` and `pkg-config ndloss`.

include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

set(NDLOSS_CMAKE_DIR "${CMAKE_INSTALL_LIBDIR}/cmake/ndloss")

install(TARGETS ndloss
  EXPORT ndloss-targets
  ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}"
  LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}"
  RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}"
  INCLUDES DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
install(DIRECTORY "${PROJECT_SOURCE_DIR}/cpp/include/" "${PROJECT_BINARY_DIR}/include/" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}" FILES_MATCHING PATTERN "*.hpp")
install(FILES "${PROJECT_SOURCE_DIR}/LICENSE" DESTINATION "${CMAKE_INSTALL_DOCDIR}")
install(EXPORT ndloss-targets NAMESPACE ndloss:: DESTINATION "${NDLOSS_CMAKE_DIR}")

# A static library's own dependencies become the application's. What they are is read off the target, so that it is said once.
get_target_property(ndloss_type ndloss TYPE)
get_target_property(ndloss_links ndloss LINK_LIBRARIES)
set(NDLOSS_FIND_DEPENDENCIES "")
set(NDLOSS_PC_LIBS "")
if(ndloss_type STREQUAL "STATIC_LIBRARY")
  if("${ndloss_links}" MATCHES "OpenMP::OpenMP_CXX")
    string(APPEND NDLOSS_FIND_DEPENDENCIES "find_dependency(OpenMP COMPONENTS CXX)\n")
    list(APPEND NDLOSS_PC_LIBS "${OpenMP_CXX_FLAGS}")
  endif()
  if("${ndloss_links}" MATCHES "Threads::Threads")
    string(APPEND NDLOSS_FIND_DEPENDENCIES "find_dependency(Threads)\n")
    list(APPEND NDLOSS_PC_LIBS "-pthread")
  endif()
endif()
list(JOIN NDLOSS_PC_LIBS " " NDLOSS_PC_LIBS)
get_target_property(NDLOSS_PC_CFLAGS ndloss INTERFACE_COMPILE_OPTIONS)
list(JOIN NDLOSS_PC_CFLAGS " " NDLOSS_PC_CFLAGS)

configure_package_config_file("${CMAKE_CURRENT_LIST_DIR}/ndloss-config.cmake.in" "${PROJECT_BINARY_DIR}/ndloss-config.cmake"
  INSTALL_DESTINATION "${NDLOSS_CMAKE_DIR}" NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file("${PROJECT_BINARY_DIR}/ndloss-config-version.cmake"
  VERSION "${PROJECT_VERSION}" COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/ndloss-config.cmake" "${PROJECT_BINARY_DIR}/ndloss-config-version.cmake"
  DESTINATION "${NDLOSS_CMAKE_DIR}")

# Paths relative to the .pc file keep the installed tree movable, and right under `cmake --install --prefix`.
if(IS_ABSOLUTE "${CMAKE_INSTALL_LIBDIR}")
  set(NDLOSS_PC_PREFIX "${CMAKE_INSTALL_PREFIX}")
  set(NDLOSS_PC_LIBDIR "${CMAKE_INSTALL_LIBDIR}")
else()
  file(RELATIVE_PATH ndloss_up "/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/")
  string(REGEX REPLACE "/$" "" ndloss_up "${ndloss_up}")
  set(NDLOSS_PC_PREFIX "\${pcfiledir}/${ndloss_up}")
  set(NDLOSS_PC_LIBDIR "\${prefix}/${CMAKE_INSTALL_LIBDIR}")
endif()
if(IS_ABSOLUTE "${CMAKE_INSTALL_INCLUDEDIR}")
  set(NDLOSS_PC_INCLUDEDIR "${CMAKE_INSTALL_INCLUDEDIR}")
else()
  set(NDLOSS_PC_INCLUDEDIR "\${prefix}/${CMAKE_INSTALL_INCLUDEDIR}")
endif()
configure_file("${CMAKE_CURRENT_LIST_DIR}/ndloss.pc.in" "${PROJECT_BINARY_DIR}/ndloss.pc" @ONLY)
install(FILES "${PROJECT_BINARY_DIR}/ndloss.pc" DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
