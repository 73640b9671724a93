# The instruction sets that kernels are compiled for: the only place with -march flags.

if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
  set(NDLOSS_ISAS baseline avx2 avx512)
else()
  set(NDLOSS_ISAS baseline)
endif()

# Flags of every object that holds numerics. Never -ffast-math: it changes the sums and, at link time, the whole process.
set(NDLOSS_MATH_FLAGS -fno-math-errno -fno-trapping-math -ffp-contract=off)

# The compiler flags of one ISA, as a list.
function(ndloss_isa_flags isa out)
  # Nothing unwinds through a kernel, and the tables for it are two per cent of the wheel.
  set(flags ${NDLOSS_MATH_FLAGS} -fopenmp-simd -fno-exceptions -fno-asynchronous-unwind-tables -fno-rtti)
  if(isa STREQUAL "avx2")
    list(APPEND flags -march=x86-64-v3)
  elseif(isa STREQUAL "avx512")
    list(APPEND flags -march=x86-64-v4 -mprefer-vector-width=512)
  elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
    list(APPEND flags -march=x86-64)
  endif()
  set(${out} ${flags} PARENT_SCOPE)
endfunction()

# One object library per ISA: ndloss_baseline, ndloss_avx2, ...
function(ndloss_add_isa_objects)
  foreach(isa IN LISTS NDLOSS_ISAS)
    set(target ndloss_${isa})
    add_library(${target} OBJECT ${ARGN})
    ndloss_isa_flags(${isa} flags)
    target_compile_options(${target} PRIVATE ${flags})
    target_compile_definitions(${target} PRIVATE NDLOSS_ISA=${isa})
    target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR}/cpp/include ${PROJECT_SOURCE_DIR}/cpp/src
                                                 ${PROJECT_BINARY_DIR}/include)
    # Link-time optimisation would let code for one ISA be inlined into another's.
    set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE ON INTERPROCEDURAL_OPTIMIZATION OFF CXX_VISIBILITY_PRESET hidden
                                               VISIBILITY_INLINES_HIDDEN ON)
    ndloss_warnings(${target})
  endforeach()
endfunction()
