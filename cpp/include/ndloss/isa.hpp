/// Which instruction set the kernels run on: listed, chosen at run time, forced by name.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace ndloss {

/// The levels that this build has and this machine can run, slowest first.
[[nodiscard]] std::vector<std::string> available_isas();

/// The level in use. At first use it is `NDLOSS_ISA` from the environment, else the fastest one available.
[[nodiscard]] std::string get_isa();

/// Forces a level for the whole process. Throws std::invalid_argument for one that is unknown or cannot run here.
void set_isa(std::string_view name);

}  // namespace ndloss
