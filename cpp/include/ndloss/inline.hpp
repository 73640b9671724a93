/// Two of the project's three macros: how public code is inlined, and the name of the ISA it is compiled for.
#pragma once

/// Public code is always inlined: two translation units compiled for different ISAs must never share an out-of-line
/// copy of a function, because the linker would keep one of them for both.
#if defined(__GNUC__) || defined(__clang__)
#define NDLOSS_INLINE [[gnu::always_inline]] inline
#else
#define NDLOSS_INLINE inline
#endif

/// The namespace of the code compiled for one ISA. The library's own objects set it; a user's translation unit, which
/// is compiled for whatever the user asks for, gets a name of its own.
#ifndef NDLOSS_ISA
#define NDLOSS_ISA user
#endif
