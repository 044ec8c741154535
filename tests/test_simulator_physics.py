"""The simulated image obeys the physics that its settings name."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from temwatch.simulator import Settings, imaging, shapes, simulate_micrograph
from temwatch.simulator.imaging import Crystal
from temwatch.simulator.materials import MATERIALS, attenuation_per_nm
from temwatch.simulator.optics import Electron, Lens, transfer_function
from temwatch.simulator.specimen import Body, project

QUIET = Settings(
    size_px=256,
    particles=0,
    cs_mm=0.0,
    defocus_nm=0.0,
    focal_spread_nm=0.0,
    convergence_mrad=0.0,
    carbon_thickness_nm=0.0,
    diffuse_share=0.0,
    support_variation=0.0,
    illumination_variation=0.0,
    counts_per_electron=1.0,
    blur_px=0.0,
    readout_noise_e=0.0,
    gain_variation=0.0,
    defects_per_million=0.0,
)


def noiseless(settings, solid=None, crystals=(), seed=0):
    """Image of one solid in the middle of the field, relative to the background."""
    field = imaging.empty_field(settings)
    if solid is not None:
        body = Body(solid=solid, x_px=settings.size_px / 2, y_px=settings.size_px / 2)
        imaging.add_particles(field, settings, [(project(body), crystals)])
    carbon = imaging.carbon_phase(settings, len(field.phase), np.random.default_rng(seed))
    return imaging.transmitted(field, settings, carbon)


def cube(side_px):
    """Cube with upright sides, so that its thickness is its side."""
    normals = np.concatenate([np.eye(3), -np.eye(3)])
    return shapes.polyhedron(normals, np.ones(6), side_px * math.sqrt(4 / math.pi))


def power_spectrum(image, pixel_size_nm):
    """Power and spatial frequency (1/nm) of a square image, windowed against its edges."""
    window = np.hanning(len(image))
    power = np.abs(np.fft.fft2((image - image.mean()) * window[:, None] * window)) ** 2
    frequency = np.fft.fftfreq(len(image), pixel_size_nm)
    return power, frequency


@pytest.mark.parametrize(
    ("voltage_kV", "wavelength_pm", "interaction_rad_per_V_nm"),
    [(80, 4.176, 0.01009), (200, 2.508, 0.00729), (300, 1.969, 0.00653)],
)
def test_electrons_have_the_tabulated_wavelength(voltage_kV, wavelength_pm, interaction_rad_per_V_nm):
    """Kirkland (2010), table 2.1 and figure 5.3."""
    electron = Electron(voltage_kV=voltage_kV)
    assert wavelength_pm == pytest.approx(1e3 * electron.wavelength_nm, rel=5e-4)
    assert interaction_rad_per_V_nm == pytest.approx(electron.interaction_rad_per_V_nm, rel=2e-3)


@pytest.mark.parametrize("dose", [3.0, 40.0, 1000.0])
@pytest.mark.parametrize("carbon_thickness_nm", [0.0, 10.0])
def test_the_mean_of_the_background_is_the_dose(dose, carbon_thickness_nm):
    """Whatever the film scatters away, and in counts times the gain."""
    settings = replace(
        QUIET, dose_e_per_px=dose, carbon_thickness_nm=carbon_thickness_nm, counts_per_electron=7.0
    )
    assert dose * 7 == pytest.approx(simulate_micrograph(settings, 1).image.mean(), rel=0.01)


@pytest.mark.parametrize("dose", [3.0, 40.0, 1000.0])
def test_noise_is_poisson(dose):
    """Variance and mean of the electrons are equal; 65536 px leave 0.6 % of doubt."""
    image = simulate_micrograph(replace(QUIET, dose_e_per_px=dose), 2).image
    assert image.mean() == pytest.approx(image.var(), rel=0.025)


def test_the_point_spread_blurs_noise_and_signal_alike():
    """Gaussian of rms s px: the variance falls to 1 / (4 pi s^2), the mean stays."""
    image = simulate_micrograph(
        replace(QUIET, size_px=768, dose_e_per_px=500.0, blur_px=1.2, counts_per_electron=20.0), 3
    ).image[8:-8, 8:-8]
    assert 500 * 20 == pytest.approx(image.mean(), rel=0.01)
    assert 500 * 20**2 / (4 * math.pi * 1.2**2) == pytest.approx(image.var(), rel=0.04)


@pytest.mark.parametrize("material", ["Au", "Ag", "SiO2"])
@pytest.mark.parametrize("aperture_mrad", [10.0, 30.0])
def test_contrast_of_a_known_thickness(material, aperture_mrad):
    """A cube lets exp(-mu t) through, with mu of its material and the aperture."""
    settings = replace(
        QUIET,
        material=material,
        pixel_size_nm=0.2,
        aperture_mrad=aperture_mrad,
        lattice_contrast=0.0,
        diffraction_contrast=0.0,
    )
    inside = noiseless(settings, cube(100), crystals=())[108:148, 108:148]
    mu_per_nm = attenuation_per_nm(MATERIALS[material], Electron(voltage_kV=300), aperture_mrad)
    assert math.exp(-mu_per_nm * 100 * 0.2) == pytest.approx(float(inside.mean()), rel=0.01)


def test_gold_scatters_more_at_lower_voltage_and_through_a_smaller_aperture():
    """What a microscopist does for contrast has its effect."""
    gold = MATERIALS["Au"]
    usual = attenuation_per_nm(gold, Electron(voltage_kV=300), 20)
    assert usual < attenuation_per_nm(gold, Electron(voltage_kV=300), 10)
    assert usual < attenuation_per_nm(gold, Electron(voltage_kV=100), 20)
    assert attenuation_per_nm(MATERIALS["SiO2"], Electron(voltage_kV=300), 20) < usual / 10


def test_diffuse_electrons_fill_up_the_shadow():
    """A share d of the background arrives behind matter of any thickness."""
    settings = replace(QUIET, attenuation_per_nm=1.0, diffuse_share=0.1, lattice_contrast=0.0)
    assert 0.1 == pytest.approx(float(noiseless(settings, cube(200))[100:150, 100:150].mean()), abs=0.005)


def fringe(azimuth_rad):
    return Crystal(
        azimuths_rad=(azimuth_rad,),
        phase_rad=0.3,
        fringe_share=1.0,
        deviation=50.0,
        bending=(0.0, 0.0),
        border_angle_rad=0.0,
        border_offset=0.0,
    )


@pytest.mark.parametrize("material", ["Au", "CdSe"])
@pytest.mark.parametrize("azimuth_deg", [0, 30, 105])
def test_fringes_have_the_spacing_and_direction_of_the_planes(material, azimuth_deg):
    """The strongest frequency of the image of a crystal is 1 / d."""
    settings = replace(QUIET, material=material, pixel_size_nm=0.05, defocus_nm=-60.0)
    image = noiseless(settings, cube(180), (fringe(math.radians(azimuth_deg)),))[48:208, 48:208]
    power, frequency = power_spectrum(image, 0.05)
    power[np.hypot(frequency[:, None], frequency) < 1.5] = 0
    row, column = np.unravel_index(np.argmax(power), power.shape)
    spacing_nm = MATERIALS[material].lattice.spacing_nm
    assert 1 / spacing_nm == pytest.approx(math.hypot(frequency[row], frequency[column]), abs=0.09)
    found_deg = math.degrees(math.atan2(frequency[row], frequency[column])) % 180
    assert min((found_deg - azimuth_deg) % 180, (azimuth_deg - found_deg) % 180) < 3


def test_planes_that_the_pixels_cannot_resolve_show_no_fringes():
    """At 0.2 nm per px the planes of gold would only alias."""
    settings = replace(QUIET, pixel_size_nm=0.2, defocus_nm=-60.0)
    with_planes = noiseless(settings, cube(100), (fringe(0.4),))
    without = noiseless(settings, cube(100), (replace(fringe(0.4), azimuths_rad=()),))
    np.testing.assert_array_equal(without, with_planes)


@pytest.mark.parametrize(
    ("voltage_kV", "defocus_nm", "cs_mm"), [(300, -500, 0.0), (200, 600, 0.0), (300, -300, 1.2)]
)
def test_carbon_has_its_thon_rings_where_the_phase_contrast_vanishes(voltage_kV, defocus_nm, cs_mm):
    """Zeros of sin(chi) are dark rings of the power spectrum, its extremes bright ones."""
    settings = replace(
        QUIET,
        size_px=512,
        voltage_kV=voltage_kV,
        defocus_nm=defocus_nm,
        cs_mm=cs_mm,
        carbon_thickness_nm=3.0,
    )
    power, frequency = power_spectrum(noiseless(settings), settings.pixel_size_nm)
    k = np.linspace(0.3, 2.5, 20001)
    wavelength_nm = Electron(voltage_kV=voltage_kV).wavelength_nm
    chi = math.pi * wavelength_nm * defocus_nm * k**2 + math.pi / 2 * cs_mm * 1e6 * wavelength_nm**3 * k**4
    zeros = k[1:][np.diff(np.sign(np.sin(chi))) != 0]
    extremes = k[1:][np.diff(np.sign(np.cos(chi))) != 0]
    distance = np.hypot(frequency[:, None], frequency)

    def ring(at):
        return power[np.abs(distance - at) < 0.01].mean()

    assert len(zeros) >= 3
    for zero in zeros[:4]:
        nearest = extremes[np.argsort(np.abs(extremes - zero))[:2]]
        assert ring(zero) < 0.12 * min(ring(extreme) for extreme in nearest)


def test_envelopes_and_aperture_limit_what_is_transferred():
    """Focal spread, source size and the aperture each cut the high frequencies off."""
    electron = Electron(voltage_kV=300)
    plain = {"cs_mm": 0.0, "defocus_nm": -100.0, "focal_spread_nm": 0.0, "convergence_mrad": 0.0}
    ideal = np.abs(transfer_function(64, 0.05, electron, Lens(**plain, aperture_mrad=100.0)))
    np.testing.assert_allclose(ideal, 1, rtol=1e-5)
    for name, value, least in (("focal_spread_nm", 4.0, 0.2), ("convergence_mrad", 1.0, 0.05)):
        damped = np.abs(
            transfer_function(64, 0.05, electron, Lens(**{**plain, name: value}, aperture_mrad=100.0))
        )
        assert 1 == pytest.approx(float(damped[0, 0]))
        assert damped[0, 30] < least
    k = np.fft.fftfreq(64, 0.05)
    cut = np.abs(transfer_function(64, 0.05, electron, Lens(**plain, aperture_mrad=10.0)))
    np.testing.assert_array_equal(cut[0] > 0, np.abs(k) * electron.wavelength_nm <= 0.010)


@pytest.mark.parametrize("defocus_nm", [300.0, 1000.0])
def test_the_fresnel_fringe_changes_sign_with_defocus(defocus_nm):
    """Underfocus draws a bright line around a particle, overfocus a dark one, focus none."""
    settings = replace(QUIET, pixel_size_nm=0.2, attenuation_per_nm=0.01, aperture_mrad=50.0)
    solid = shapes.ellipsoid(100, 1.0, flattening=0.1)
    outside = ndimage.distance_transform_edt(~project_mask(solid))
    line = (outside > 0.5) & (outside < math.sqrt(0.00197 * defocus_nm) / 0.2)

    def edge(defocus):
        return float(noiseless(replace(settings, defocus_nm=defocus), solid)[line].mean()) - 1

    assert edge(-defocus_nm) > 0.02
    assert edge(defocus_nm) < -0.02
    assert abs(edge(0.0)) < 0.2 * min(abs(edge(-defocus_nm)), abs(edge(defocus_nm)))


def project_mask(solid, size=256):
    """Full-field mask of a solid in the middle."""
    projection = project(Body(solid=solid, x_px=size / 2, y_px=size / 2))
    mask = np.zeros((size, size), bool)
    (top, left), (height, width) = projection.region.origin_px, projection.region.mask.shape
    mask[top : top + height, left : left + width] = projection.region.mask
    return mask


def test_particles_differ_in_diffraction_contrast():
    """Equal cubes of gold in different orientations do not have equal grey values; silica ones do."""

    def means(material):
        settings = replace(QUIET, material=material, pixel_size_nm=0.3, diffraction_contrast=1.0)
        rng = np.random.default_rng(5)
        return [
            float(
                noiseless(settings, cube(100), imaging.random_crystals(settings, rng))[
                    110:146, 110:146
                ].mean()
            )
            for _ in range(8)
        ]

    gold, silica = means("Au"), means("SiO2")
    assert np.ptp(gold) > 0.05 * np.mean(gold)
    assert np.ptp(silica) < 1e-6
