//! A year of weather, the same each time: mostly cloudy, so that there is something to compress.

use crate::proto::{Day, Report};

/// How the sky looks. Rain is as frequent as it is in Bergen.
const SKIES: [&str; 5] = [
    "cloudy with rain",
    "cloudy with rain",
    "cloudy",
    "cloudy with snow",
    "clear",
];

/// The report of `station`: 365 days, or none if the station has no name.
pub fn report(station: &str) -> Report {
    let days = if station.is_empty() { 0 } else { 365 };
    Report {
        station: station.to_owned(),
        days: (1..=days).map(day).collect(),
    }
}

fn day(number: u32) -> Day {
    // One step of a linear congruential generator: numbers that look random, the same each time.
    let random = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223) >> 16;
    let sky = SKIES[random as usize % SKIES.len()];
    // Coldest at the turn of the year, warmest in the middle.
    let season = 183 - number.abs_diff(183);
    let temperature = (season + random % 60) as i32 - 30;
    Day {
        number,
        temperature,
        sky: sky.to_owned(),
    }
}
